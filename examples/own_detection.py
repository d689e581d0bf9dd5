"""A detection in code: one user fails three times to read the password file."""

import json

import auditsense
from auditsense.detections import define, unlike

SHADOW = define(
    "shadow-tries",
    "A user tries to read the password file",
    match={
        # The key of the rule, not file.path, which is the text that the process passed ("shadow" after
        # "cd /etc"). The kernel's rule matches the file itself, whatever path, call or link opens it.
        "auditd.data.key": "shadow",
        "auditd.data.success": "no",
        "process.executable": unlike("/usr/sbin/unix_chkpwd"),
    },
    by=["user.id"],
    matches=3,
    within="60s",
    severity="medium",
    audit_rule="-w /etc/shadow -p r -k shadow",
    description="Only root may read it. Three refusals in a minute suggest a search for passwords.",
)


def main() -> None:
    with auditsense.Sensor([SHADOW]) as sensor:  # adds the audit rule that the detection needs
        for alert in sensor:
            print(json.dumps(alert), flush=True)


if __name__ == "__main__":
    main()
