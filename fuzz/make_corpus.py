#!/usr/bin/env python3
"""Write the committed seed corpus, fuzz/corpus/TARGET/NAME, from the readable seeds below.

A crash becomes a separate seed here, named after its cause, and stays.
"""

import hashlib
import re
import struct
from pathlib import Path

SYSCALL = (
    "arch=c000003e syscall=257 success=yes exit=10 a0=ffffffffffffff9c a1=47d12d a2=80000 a3=0 items=1 "
    "ppid=1 pid=92 auid=4294967295 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) "
    'ses=4294967295 comm="init" exe="/init" subj=unconfined key="audit_proc"'
)
PATH = 'item=0 name="/proc" inode=1 dev=00:14 mode=040555 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0'
PARENT = 'item=0 name="/" inode=2 dev=08:01 mode=040755 ouid=0 ogid=0 rdev=00:00 nametype=PARENT'
TITLE = "proctitle=2F696E6974002D78"
ENRICHED = 'ARCH=x86_64 SYSCALL=openat AUID="unset" UID="root" GID="root"'

SYSCALL_TYPE, PATH_TYPE, CWD_TYPE, TITLE_TYPE, EOE_TYPE = 1300, 1302, 1307, 1327, 1320


def record(kind: int, text: str) -> bytes:
    """Return a seed of fuzz_record: the type, then the text."""
    return struct.pack("<H", kind) + text.encode("latin-1")


def stamped(text: str, serial: int = 7, seconds: str = "1795495722.244") -> str:
    """Put the kernel's stamp before a record's text."""
    return f"audit({seconds}:{serial}): {text}"


RECORDS = {
    "syscall": record(SYSCALL_TYPE, stamped(SYSCALL)),
    "syscall-body-alone": record(SYSCALL_TYPE, SYSCALL),
    "syscall-enriched": record(SYSCALL_TYPE, stamped(f"{SYSCALL}\x1d{ENRICHED}")),
    "syscall-enriched-separator-lost": record(SYSCALL_TYPE, stamped(f"{SYSCALL}{ENRICHED}")),
    "syscall-key-null-separator-lost": record(
        SYSCALL_TYPE, stamped(SYSCALL.replace('"audit_proc"', f"(null){ENRICHED}"))
    ),
    "syscall-label-with-blanks": record(
        SYSCALL_TYPE, stamped(SYSCALL.replace("unconfined", "/usr/bin/x//&y (enforce)"))
    ),
    "syscall-two-keys": record(SYSCALL_TYPE, stamped(SYSCALL.replace('"audit_proc"', "6101620000"))),
    "syscall-per": record(SYSCALL_TYPE, stamped(SYSCALL.replace("257", "257 per=400000"))),
    "syscall-key-before-the-number": record(SYSCALL_TYPE, "arch=c000003e foo=bar syscall=2570 pid=1"),
    "syscall-arch-with-leading-zeros": record(
        SYSCALL_TYPE, "arch=000000000000000000000000000c000003e syscall=257"
    ),
    "syscall-labels-without-end": record(SYSCALL_TYPE, "subj=a " * 40),
    "path": record(PATH_TYPE, stamped(PATH)),
    "path-hex": record(PATH_TYPE, stamped(PATH.replace('"/proc"', "2F70726F6300"))),
    "path-odd-hex": record(PATH_TYPE, stamped(PATH.replace('"/proc"', "2F70726F6"))),
    "path-null": record(PATH_TYPE, stamped("item=0 name=(null) nametype=UNKNOWN")),
    "path-quote-not-closed": record(PATH_TYPE, stamped('item=0 name="/pro')),
    "cwd": record(CWD_TYPE, stamped('cwd="/"')),
    "proctitle": record(TITLE_TYPE, stamped(TITLE)),
    "end": record(EOE_TYPE, stamped("")),
    "execve": record(1309, stamped('argc=3 a0="sh" a1=2D63206C73 a2=""')),
    "execve-in-parts": record(1309, stamped('argc=3 a0="a"\n a2="c"\n a1_len=4 a1[0]=6263\n a1[1]="de"')),
    "execve-parts-without-a-start": record(1309, ' a1[1]=6162 a0_len=99 a4294967295="x" a0[0]="y'),
    "sockaddr-ipv4": record(1306, stamped("saddr=02002329C00002010000000000000000")),
    "sockaddr-ipv6": record(1306, stamped("saddr=0A0001BB0000000020010DB8000000000000000000000001")),
    "sockaddr-abstract": record(1306, stamped("saddr=010000612F6200")),
    "sockaddr-short": record(1306, "saddr=0A0001BB00000000200"),
    "bprm-fcaps": record(
        1321, stamped("fver=0 fp=0 fi=0 fe=0 old_pe=0 pp=2001 pi=0 pe=8000010000200009 pa=0")
    ),
    "user-auth": record(
        1100,
        stamped(
            "pid=92 uid=0 auid=1000 ses=3 subj=a b msg='op=PAM:x grantors=pam_unix acct=726F6F74 "
            'exe="/usr/bin/su" hostname=? addr=? terminal=/dev/pts/0 res=success\''
        ),
    ),
    "user-id-and-no-end": record(1114, "pid=9 msg='op=adding user id=1001 msg='x exe=\"/x\""),
    "avc": record(1400, stamped('avc:  denied  { read } for  pid=7 comm="z" tclass=file permissive=0')),
    "avc-apparmor": record(1400, stamped('apparmor="DENIED" operation="open" profile="x" pid=7 comm="z"')),
    "config-change": record(1305, stamped('auid=0 ses=1 subj=unconfined op=add_rule key="k" list=4 res=1')),
    "uringop": record(1336, stamped("uring_op=18 success=yes exit=5 items=1 ppid=1 pid=7 uid=8")),
    "line": record(0, f"node=a.example type=SYSCALL msg={stamped(SYSCALL)}\r"),
    "line-unknown-type": record(0, f"type=UNKNOWN[1334] msg={stamped('prog-id=7 op=LOAD')}"),
    "path-objtype": record(PATH_TYPE, stamped(PATH.replace("nametype=", "objtype="))),
    "path-separator-escaped": record(PATH_TYPE, stamped(PATH.replace("NORMAL", 'NORMAL#035OUID="root"'))),
    "syscall-label-quoted": record(SYSCALL_TYPE, stamped(SYSCALL.replace("unconfined", '"docker-default"'))),
    "syscall-label-is-a-quote": record(SYSCALL_TYPE, stamped(SYSCALL.replace("unconfined", '"'))),
    "line-syslog": record(0, f"<13>Nov 24 16:00:00 a audispd[1]: node=a type=CWD msg={stamped('x')}"),
    "line-rfc5424": record(
        0, f'<13>1 2026-11-24T16:00:00Z a audispd - - [a b="\\"]"] type=CWD msg={stamped("x")}'
    ),
    "line-kernel": record(0, f"kern  :notice: [ 4.0][ T1] audit: type=1300 {stamped(SYSCALL)}"),
    "line-grep": record(0, f"/a b-c/audit.log-1:12:node=a type=CWD msg={stamped('x')}"),
    "line-of-types": record(0, "type=" * 80 + f"type=CWD msg={stamped('x')}"),
    "words-without-values": record(SYSCALL_TYPE, "a b c = d  =e f"),
    "numbers-at-their-limits": record(
        SYSCALL_TYPE,
        "audit(9007199254740992.999:4294967295): exit=-9223372036854775808 a0=ffffffffffffffff "
        "a1=10000000000000000",
    ),
}


def stream(*rows: tuple[str, str, str]) -> bytes:
    """Return a seed of fuzz_stream: a line of time step, type letter and text for each row."""
    return "\n".join(f"{step}{letter}{text}" for step, letter, text in rows).encode("latin-1")


def event(serial: int, seconds: str = "1.000", pid: int = 92, step: str = "0") -> list[tuple[str, str, str]]:
    """Return the rows of one whole event."""
    syscall = SYSCALL.replace("pid=92", f"pid={pid}")
    texts = [("S", syscall), ("C", 'cwd="/"'), ("P", PATH), ("T", TITLE), ("E", "")]
    return [(step, letter, stamped(text, serial, seconds)) for letter, text in texts]


def interleaved(*events: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Return the first rows of all events, then their second ones, and so on."""
    return [row for rows in zip(*events, strict=True) for row in rows]


STREAMS = {
    "one-event": stream(*event(1)),
    "four-events-of-one-process": stream(*(row for n in range(1, 5) for row in event(n, f"1.{n:03}"))),
    "no-clock": stream(*(row for n in range(1, 5) for row in event(n, f"{n}.000", step="?"))),
    "interleaved": stream(*interleaved(event(1), event(2), event(3))),
    "backwards": stream(*reversed(event(1)), *reversed(event(2))),
    "ends-lost": stream(*(row for n in range(1, 25) for row in event(n, f"1.{n:03}")[:4])),
    "ends-lost-and-time-passes": stream(
        *(row for n in range(1, 9) for row in event(n, f"{n}.000", step="9")[:3])
    ),
    "duplicates-and-late": stream(*event(1), *event(1), *event(2)[:3], *event(2)[:3], *event(2)[3:]),
    "time-steps-back": stream(*event(1, "9.000", step="9")[:3], *event(2, "1.000", step="-"), *event(3)),
    # The clock is ahead, is set back by an hour, and once more by a day; then another boot.
    "stamps-step": stream(
        *(
            row
            for start in (9_003_600, 9_000_000, 8_913_600)
            for n in range(12)
            for row in event(start % 1000 + n, f"{start + n // 4}.{n % 4}00")
        ),
        *(row for n in range(1, 9) for row in event(n, f"9009000.{n:03}")),
    ),
    "serials-wrap": stream(*(row for n in (4294967294, 4294967295, 0, 1) for row in event(n))),
    "serials-leap": stream(*event(1), *event(70000), *event(5), *event(2000000000), *event(4000000000)),
    "table-full": stream(*(("0", "S", stamped(SYSCALL, n)) for n in range(1, 40)), *event(50)),
    "large-records": stream(
        *(("0", "P", stamped(f"item=0 name={'41' * 300} nametype=NORMAL", n)) for n in range(1, 9)), *event(9)
    ),
    "ring-operation-then-its-call": stream(
        ("0", "U", stamped("uring_op=18 success=yes exit=0 items=1 ppid=1 pid=92")), *event(7)
    ),
    "others": stream(
        ("0", "K", "control"),
        ("0", "R", stamped("old")),
        ("0", "h", "short"),
        ("0", "f", stamped(SYSCALL)),
        ("0", "A", stamped("pid=1 msg='op=x\ttype=SYSCALL'")),
        ("0", "L", stamped("pid=1 uid=0")),
        ("0", "G", stamped("op=set audit_pid=0", 8)),
        ("0", "S", "no stamp"),
    ),
    "more-hits-than-fit": stream(
        *(
            ("0", letter, stamped(text, n, f"{n // 50}.000"))
            for n in range(1, 301)
            for letter, text in (("S", 'arch=c000003e syscall=257 pid=1 a2=1 comm="a"'), ("E", ""))
        )
    ),
    "exec-without-a-program": stream(
        ("0", "S", stamped(re.sub('exe="[^"]*"', "exe=(null)", SYSCALL))), ("0", "E", stamped(""))
    ),
    "parents-before-the-file": stream(
        ("0", "S", stamped(SYSCALL.replace("items=1", "items=2"))),
        ("0", "P", stamped(PARENT)),
        ("0", "P", stamped(PATH.replace("item=0", "item=1"))),
        ("0", "E", stamped("")),
    ),
}

NAMES = {"S": "SYSCALL", "C": "CWD", "P": "PATH", "T": "PROCTITLE", "E": "EOE"}


def log(*events: list[tuple[str, str, str]], node: str = "") -> str:
    """Return events as a log file holds them."""
    rows = (row for rows in events for row in rows)
    return "".join(f"{node}type={NAMES[letter]} msg={text}\n" for _, letter, text in rows)


TEXTS = {
    "one-event": log(event(1)),
    "no-end-of-line": log(event(1)).removesuffix("\n"),
    "without-ends": log(*(event(n, f"{n}.000")[:4] for n in range(1, 5))),
    "separators": "----\ntime->Tue Nov 24 16:00:00 2026\n"
    + log(event(1))
    + "==> audit.log.1 <==\n"
    + log(event(2))
    + "time->no date, since it goes on for too long\n",
    "nodes": log(event(1), event(2), node="node=a ") + log(event(1), event(2), node="node=b.example "),
    "carriage-returns": log(event(1), event(2)).replace("\n", "\r\n"),
    "empty-lines": f"\n\n{log(event(1))}\n\n",
    "longer-than-a-line-may-be": f"type=PATH msg={stamped('name=' + '41' * 1200)}\n{log(event(1))}",
    "more-hits-than-fit": "".join(
        f"type=SYSCALL msg={stamped('pid=1 a2=1 comm=a', n, '1.000')}\n"
        f"type=EOE msg={stamped('', n, '1.000')}\n"
        for n in range(1, 301)
    ),
    "enriched": log(event(1)).replace("\n", f"\x1d{ENRICHED}\n"),
    "forged": f"type=USER msg={stamped('pid=1 msg=')}'x type=SYSCALL msg={stamped(SYSCALL)}'\n"
    + log(event(8)),
    "holes": "\0\0" + log(event(1)).replace("\n", "\n\0\0") + log(event(2)).replace("cwd", "\0\0type=EOE"),
    "prefixes": "".join(
        f"{prefix}{line}\n"
        for prefix in (
            "\xef\xbb\xbf \t",
            "Nov 24 16:00:00 a audispd: ",
            "<13>1 2026-11-24T16:00:00Z a audisp - - - ",
            "audit.log:1:",
            "Nov 24 16:00:00 a b: ",
            "2026-11-24T16:00:00Z stdout F ",
        )
        for line in log(event(1)).splitlines()
    ),
    "kernel-log": "".join(
        f"[ 4.0] audit: type={kind} {stamped(text)}\n"
        for kind, text in ((SYSCALL_TYPE, SYSCALL), (PATH_TYPE, PATH), (TITLE_TYPE, TITLE), (EOE_TYPE, ""))
    ),
    "other-names": "".join(
        f"type={name} msg={stamped('op=x', n)}\n"
        for n, name in enumerate(
            ["USER_CMD", "CRED_ACQ", "DAEMON_END", "LOGIN", "BPF", "UNKNOWN[1420]", "UNKNOWN[", ""]
        )
    ),
}


def regex(words: int, text: bytes, classes: dict[bytes, int], *sets: int) -> bytes:
    """Return a seed of fuzz_regex: sets of states by class, accepting, ahead, stays and more, then rows."""
    of_byte = bytes(next((n for letters, n in classes.items() if byte in letters), 0) for byte in range(256))
    head = struct.pack("<BBH", words - 1, max(classes.values()), len(text))
    return head + text + of_byte + b"".join(states.to_bytes(8 * words, "little") for states in sets)


ALL_STATES = (1 << 256) - 1
REGEXES = {
    "pairs": regex(1, b"aaaa", {b"a": 1}, 0, 0b110, 0b101, 0b110, 0, 0b100, 0b10),
    "a-run-and-its-end": regex(
        1, b"aaab", {b"a": 1, b"b": 2}, 0, 0b10, 0b100, 0b100, 0b110, 0b10, 0b1, 0b110
    ),
    "across-words": regex(2, b"a" * 70, {b"a": 1}, 0, (1 << 90) - 2, 1 << 70, (1 << 90) - 2, 0, 0),
    "every-state-leads-everywhere": regex(
        4, b"ab" * 9, {b"a": 1}, ALL_STATES, ALL_STATES, 1, 0, 0, *[ALL_STATES] * 257
    ),
}


OPENS = "".join(
    f"type=SYSCALL msg={stamped(SYSCALL, serial)}\ntype=PATH msg={stamped(PATH, serial)}\n"
    f"type=PROCTITLE msg={stamped(TITLE, serial)}\n"
    for serial in range(12)
).encode()


def table(modes: int, seed: int) -> bytes:
    """Return a seed of fuzz_table: modes, numbers of a table and of its entries, and log text."""
    numbers = b"".join(hashlib.sha256(f"{seed} {part}".encode()).digest() for part in range(14))
    return bytes([modes]) + numbers + OPENS


TABLES = {f"modes-{modes}-{seed}": table(modes, seed) for modes in range(4) for seed in range(4)}


def main() -> None:
    """Write missing and changed seeds; unnamed findings of a fuzzer are left alone."""
    corpus = Path(__file__).parent / "corpus"
    texts = {name: text.encode("latin-1") for name, text in TEXTS.items()}
    for target, seeds in {
        "record": RECORDS,
        "stream": STREAMS,
        "text": texts,
        "regex": REGEXES,
        "table": TABLES,
    }.items():
        directory = corpus / target
        directory.mkdir(parents=True, exist_ok=True)
        for name, seed in seeds.items():
            (directory / name).write_bytes(seed)


if __name__ == "__main__":
    main()
