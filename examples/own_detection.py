"""A detection of one's own: three failed tries to read the password file by one user."""

import json

import auditsense
from auditsense.detections import define, unlike

SHADOW = define(
    "shadow-tries",
    "Somebody tries to read the password file",
    match={
        # The key of the rule, not file.path: that is what the process wrote, "shadow" after "cd /etc".
        # The kernel's rule knows the file itself, by whatever path, call or link it is opened.
        "auditd.data.key": "shadow",
        "auditd.data.success": "no",
        "process.executable": unlike("/usr/sbin/unix_chkpwd"),
    },
    by=["user.id"],
    matches=3,
    within="60s",
    severity="medium",
    audit_rule="-w /etc/shadow -p r -k shadow",
    description="Only root may read it; whoever is refused three times in a minute is curious.",
)


def main() -> None:
    with auditsense.Sensor([SHADOW]) as sensor:  # with the audit rule that the detection needs
        for alert in sensor:
            print(json.dumps(alert), flush=True)


if __name__ == "__main__":
    main()
