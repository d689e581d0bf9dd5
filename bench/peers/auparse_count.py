"""The same as auparse_count.c through the Python bindings of Debian's python3-audit: FILE; prints counts.

Run with the interpreter that the bindings are built for, not with that of a virtual environment.
"""

import json
import sys

import auparse


def main() -> None:
    """Count what one log has."""
    records = events = matches = 0
    parser = auparse.AuParser(auparse.AUSOURCE_FILE, sys.argv[1])
    while parser.parse_next_event():
        events += 1
        records += parser.get_num_records()
        parser.first_record()
        wanted = parser.find_field("syscall") == "257" and parser.find_field("a2") == "80000"
        wanted = wanted and parser.find_field("pid") and parser.find_field("key")
        matches += bool(wanted and parser.first_record() and parser.find_field("name"))
    print(json.dumps({"records": records, "events": events, "matches": matches}))


if __name__ == "__main__":
    main()
