"""A step of a pipeline: lines of audit.log on standard input, alerts as JSON lines on standard output.

tail -F /var/log/audit/audit.log | python pipeline.py | …
"""

import json
import os
import sys

import auditsense


def main() -> int:
    with auditsense.Detector() as detector:
        while piece := os.read(0, 1 << 17):  # what there is, cut anywhere: no line is waited for
            for alert in detector.feed_text(piece):
                print(json.dumps(alert), flush=True)
        for alert in detector.finish():
            print(json.dumps(alert), flush=True)
        stats = detector.stats()
    print(f"{stats.records} records, {stats.malformed} lines that are none", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
