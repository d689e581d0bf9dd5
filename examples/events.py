"""Print the time, pid, program, call and path of every event of a log."""

import sys

from auditsense import Event, EventReader


def show(event: Event) -> None:
    print(event.time.isoformat(timespec="milliseconds"), event.pid, event.exe, event.syscall, event.path)


def main() -> None:
    with open(sys.argv[1], "rb") as log, EventReader() as reader:
        while piece := log.read(1 << 17):
            for event in reader.feed_text(piece):
                show(event)
        for event in reader.finish():
            show(event)


if __name__ == "__main__":
    main()
