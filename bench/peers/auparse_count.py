"""Port of auparse_count.c to the Python bindings of Debian's python3-audit: FILE; prints counts.

Runs with the interpreter of the bindings, not with that of a virtual environment.
"""

import json
import sys

import auparse


def main() -> None:
    """Print the counts of one log."""
    records = events = matches = 0
    parser = auparse.AuParser(auparse.AUSOURCE_FILE, sys.argv[1])
    while parser.parse_next_event():
        events += 1
        records += parser.get_num_records()
        parser.first_record()
        selected = parser.find_field("syscall") == "257" and parser.find_field("a2") == "80000"
        selected = selected and parser.find_field("pid") and parser.find_field("key")
        matches += bool(selected and parser.first_record() and parser.find_field("name"))
    print(json.dumps({"records": records, "events": events, "matches": matches}))


if __name__ == "__main__":
    main()
