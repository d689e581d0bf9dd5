"""Count which programs opened which paths, from three fields of every event of a log."""

import sys
from collections import Counter

from auditsense import RowReader

FIELDS = ("syscall", "exe", "path")


def main() -> None:
    opened: Counter[tuple[str, str]] = Counter()
    with open(sys.argv[1], "rb") as log, RowReader(FIELDS) as reader:
        while piece := log.read(1 << 19):  # large pieces: decoding a batch costs less
            opened.update((exe, path) for call, exe, path in reader.feed_text(piece) if call == "openat")
        opened.update((exe, path) for call, exe, path in reader.finish() if call == "openat")
    for (exe, path), count in opened.most_common(10):
        print(count, exe, path)


if __name__ == "__main__":
    main()
