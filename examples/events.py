"""Every event of a log, five fields of each: time, pid, program, call and path."""

import sys

from auditsense import Detector, Event, View


def show(event: Event) -> None:
    print(event.time.isoformat(timespec="milliseconds"), event.pid, event.exe, event.syscall, event.path)


def main() -> None:
    with open(sys.argv[1], "rb") as log, Detector(view=View.EVENTS) as detector:
        while piece := log.read(1 << 17):
            for event in detector.text_events(piece):
                show(event)
        for event in detector.last_events():
            show(event)


if __name__ == "__main__":
    main()
