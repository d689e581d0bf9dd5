"""Ask a real auditctl for the bytes it would send, without a kernel in reach.

    apt-get download auditd libaudit1 libauparse0      # never installed, only unpacked
    for deb in *.deb; do dpkg-deb -x "$deb" root; done
    python3 capture.py root > ../auditctl_golden.txt

`shim.c` is compiled and preloaded; it replaces the audit socket by an eventfd and
writes the messages to a file. On top of that auditctl runs as *nobody*, from whom
the kernel would take no rule. This script imports nothing of the package: it is the
other side of the comparison.

Each line of `rules.txt` becomes one block of the output:

    > THE LINE
    refused                     auditctl ended with an error and sent no rule; or
    flags N action N fields N   three numbers of struct audit_rule_data
    mask W*N W*N ...            the 64 words, equal neighbours counted
    field TYPE FLAGS VALUE      one a field, hexadecimal flags, decimal the rest
    buf TEXT                    the string buffer, %-quoted
"""

from __future__ import annotations

import itertools
import os
import shlex
import struct
import subprocess
import sys
import tempfile
import urllib.parse
from pathlib import Path

HERE = Path(__file__).resolve().parent
NOBODY = 65534
ADD_RULE = 1011
RULE_DATA = struct.Struct("=3I 64I 64I 64I 64I I")


def main() -> None:
    root = Path(sys.argv[1]).resolve()
    version = subprocess.run(
        [root / "sbin/auditctl", "-v"],
        env={"LD_LIBRARY_PATH": str(root / "lib/x86_64-linux-gnu")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    say(f"# {version}, x86_64; made by golden/capture.py from golden/rules.txt")
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        place.chmod(0o755)
        shim = build_shim(place, "cc")
        for line in (HERE / "rules.txt").read_text().splitlines():
            if line and not line.startswith("#"):
                say(f"\n> {line}")
                say(ask(line, root, shim, place / "sent"))


def build_shim(place: Path, compiler: str) -> Path:
    shim = place / "shim.so"
    options = ("-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
    subprocess.run([compiler, *options, "-o", str(shim), str(HERE / "shim.c")], check=True)
    return shim


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def ask(line: str, root: Path, shim: Path, recorded: Path) -> str:
    """The block of one rule: what auditctl would send for `line`."""
    environment = {"LD_LIBRARY_PATH": str(root / "lib/x86_64-linux-gnu"), "LD_PRELOAD": str(shim)}
    rule = sent([str(root / "sbin/auditctl")], environment, line, recorded)
    return "refused" if rule is None else describe(rule)


def sent(
    auditctl: list[str], environment: dict[str, str], line: str, recorded: Path, order: str = "="
) -> bytes | None:
    """The bytes that auditctl would send for `line`, in its byte order; None: it refuses."""
    recorded.write_bytes(b"")
    recorded.chmod(0o666)
    done = subprocess.run(
        [*auditctl, *shlex.split(line)],
        env={**environment, "AUDITCTL_CAPTURE": str(recorded)},
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if os.environ.get("AUDITCTL_VERBOSE"):
        say(f"  exit {done.returncode}: {done.stdout.strip()} {done.stderr.strip()}")
    rules = [body for kind, body in messages(recorded.read_bytes(), order) if kind == ADD_RULE]
    if not rules:
        return None
    (rule,) = rules
    (length,) = struct.unpack_from(f"{order}I", rule, RULE_DATA.size - 4)
    return rule[: RULE_DATA.size + length]


def messages(data: bytes, order: str = "=") -> list[tuple[int, bytes]]:
    """Cut recorded netlink messages: (type, body) each."""
    found = []
    while data:
        length, kind = struct.unpack_from(f"{order}IH", data)
        found.append((kind, data[16:length]))
        data = data[(length + 3) & ~3 :]
    return found


def describe(rule: bytes) -> str:
    words = RULE_DATA.unpack_from(rule)
    flags, action, count = words[:3]
    mask, kinds, values, ops = (words[3 + 64 * i : 67 + 64 * i] for i in range(4))
    buf = rule[RULE_DATA.size :][: words[-1]]
    runs = [(word, len(list(same))) for word, same in itertools.groupby(mask)]
    lines = [
        f"flags {flags} action {action} fields {count}",
        "mask " + " ".join(f"{word:08x}*{length}" for word, length in runs),
    ]
    lines += [f"field {kinds[i]} {ops[i]:08x} {values[i]}" for i in range(count)]
    if buf:
        lines.append("buf " + urllib.parse.quote_from_bytes(buf))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
