"""A detection of one's own: three failed tries to read the password file by one user."""

import json

import auditsense
from auditsense import define, unlike

AUDIT_RULE = "-w /etc/shadow -p r -k shadow"

SHADOW = define(
    "shadow-tries",
    "Somebody tries to read the password file",
    match={
        "auditd.data.syscall": ["open", "openat", "openat2"],
        "auditd.data.success": "no",
        "file.path": "/etc/shadow",
        "process.executable": unlike("/usr/sbin/unix_chkpwd"),
    },
    by=["user.id"],
    matches=3,
    within="60s",
    severity="medium",
    audit_rule=AUDIT_RULE,
    description="Only root may read it; whoever is refused three times in a minute is curious.",
)


def main() -> None:
    with auditsense.Sensor([SHADOW], audit_rules=[AUDIT_RULE]) as sensor:
        for alert in sensor:
            print(json.dumps(alert), flush=True)


if __name__ == "__main__":
    main()
