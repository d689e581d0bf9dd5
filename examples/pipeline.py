"""A pipeline step that reads audit.log lines and writes alerts as JSON lines.

tail -F /var/log/audit/audit.log | python pipeline.py | …
"""

import json
import os
import sys

import auditsense


def main() -> int:
    with auditsense.Detector() as detector:
        while piece := os.read(0, 1 << 17):  # whatever is there, cut anywhere
            for alert in detector.feed_text(piece):
                print(json.dumps(alert), flush=True)
        for alert in detector.finish():
            print(json.dumps(alert), flush=True)
        stats = detector.stats()
    print(f"{stats.records} records, {stats.malformed} other lines", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
