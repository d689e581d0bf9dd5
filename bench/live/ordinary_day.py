"""A day of ordinary use in ten minutes: which harmless programs list processes, how often, and which alert.

    python bench/live/ordinary_day.py [--only WORD] [--json FILE]

Runs monitors, agents, a build, an installation, logins and cron jobs one after the other, each in a new
login session, while `auditsense run` watches with its default detections. The audit lock is released between
pieces of at most 100 s. A step that alerts runs once more with --known-harmless. A program that is not
installed is a row without figures. Listings are counted from the kernel's multicast, by process and by
session.

Exit status 1: an alert that --known-harmless does not cover, and that EXPECTED does not explain.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auditsense.bench.report import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.live.ground import ground, write_json
else:
    from ground import ground, write_json

from auditsense.sources.multicast import Multicast

PIECE_S: Final = 100.0
WINDOW_S: Final = 5.0
SETTLE_S: Final = 1.0
PROGRAM: Final = Path(sys.executable).with_name("auditsense")
PYTHON: Final = "/usr/bin/python3"  # of the distribution, with its psutil
_SERIAL: Final = re.compile(r"audit\((\d+)\.(\d+):(\d+)\)")
_SYSCALL, _PATH, _URINGOP = 1300, 1302, 1336
_FIELD: Final = re.compile(r"\b(pid|ses|inode|dev|mode)=(\S+)")

EXPECTED: Final[dict[str, str]] = {
    "pgrep in a wait loop": "five listings a second by one session, as a scan by a child per listing",
    "memory_profiler, every 0.1 s": "as often as a scanner, by an interpreter: no path tells them apart",
}
"""Why a step that alerts is right to; shown in the table."""


@dataclass(frozen=True)
class Step:
    """One use of the host.

    Attributes:
        name: a few words.
        needs: program without which it is left out.
        command: for sh.
        seconds: after which it is ended.
        root: whether it runs as root; else as user 65534.
    """

    name: str
    needs: str
    command: str
    seconds: float = 8.0
    root: bool = False


def _terminal(command: str) -> str:
    """Return a command that gets a terminal."""
    return f"TERM=xterm script -qec '{command}' /dev/null"


BUILD: Final = (
    "for n in 1 2 3 4 5 6 7 8; do "
    "printf '#include <stdio.h>\\nint f%d(void){return puts(\"x\");}\\n' $n > a$n.c; done; "
    "printf 'o=$(patsubst %%.c,%%.o,$(wildcard a*.c))\\nall: $o\\n' > Makefile; "
    "for n in 1 2 3; do make -s -j2 all; rm -f *.o; done"
)
PSUTIL: Final = (
    "import psutil, time\nwhile 1: [p.info for p in psutil.process_iter(['name'])]; time.sleep({0})"
)
PROFILED: Final = (
    "from memory_profiler import memory_usage; import time; memory_usage((time.sleep, (6,)), interval=0.1, "
    "include_children=True)"
)
SSHD: Final = (
    "/usr/sbin/sshd -D -f /dev/null -p 20022 -h $PWD/host -o PidFile=none -o AuthorizedKeysFile=$PWD/key.pub "
    "-o StrictModes=no -o UsePAM=no"
)

STEPS: Final = (
    Step("ps aux, three times", "ps", "for n in 1 2 3; do ps aux; sleep 1; done"),
    Step("pgrep, pidof, killall -0", "pgrep", "pgrep sshd; pidof sshd; pgrep -f python; killall -0 nothing"),
    Step("lsof", "lsof", "lsof -nP", root=True),
    Step("fuser", "fuser", "fuser -v /tmp /var/log", root=True),
    Step("ss -tulpn", "ss", "ss -tulpn; sleep 1; ss -s"),
    Step("top, every 3 s", "top", "top -b -d 3"),
    Step("top, every second", "top", "top -b -d 1"),
    Step("htop", "htop", _terminal("htop -d 10")),
    Step("psutil, every second", PYTHON, f'{PYTHON} -c "{PSUTIL.format(1)}"'),
    Step("pidstat 1", "pidstat", "pidstat 1"),
    Step("iotop, every second", "iotop", "iotop -b -d 1", root=True),
    Step("atop 1", "atop", "atop 1", root=True),
    Step("nmon, every second", "nmon", "nmon -F $PWD/day.nmon -t -s 1 -c 6; sleep 7"),
    Step("memory_profiler, every 0.1 s", PYTHON, f'{PYTHON} -c "{PROFILED}"', 10),
    Step("glances", "glances", "glances --stdout cpu.user,processcount --time 2", 10),
    Step(
        "monit, every 2 s",
        "monit",
        "printf 'set daemon 2\\nset idfile %s/id\\ncheck process x matching \"sshd\"\\n' $PWD > rc; "
        "chmod 700 rc; "
        "monit -I -c $PWD/rc -p $PWD/pid -s $PWD/state",
    ),
    Step(
        "node_exporter, scraped every second",
        "prometheus-node-exporter",
        "prometheus-node-exporter --collector.processes --web.listen-address=127.0.0.1:20091 & sleep 1; "
        "for n in 1 2 3 4 5; do curl -s 127.0.0.1:20091/metrics > /dev/null; sleep 1; done",
    ),
    Step(
        "process-exporter, scraped every second",
        "prometheus-process-exporter",
        "prometheus-process-exporter -procnames sshd -web.listen-address=127.0.0.1:20092 & sleep 1; "
        "for n in 1 2 3 4 5; do curl -s 127.0.0.1:20092/metrics > /dev/null; sleep 1; done",
    ),
    Step(
        "collectd, every second",
        "collectd",
        "printf 'Interval 1\\nPIDFile \"%s/pid\"\\nLoadPlugin processes\\n' $PWD > c; collectd -f -C $PWD/c",
        root=True,
    ),
    Step("earlyoom", "earlyoom", "earlyoom -r 1 --dryrun", root=True),
    Step("watch ps, every second", "watch", _terminal("watch -n 1 ps aux")),
    Step(
        "an IDE: ps every second",
        "ps",
        "while ps -axww -o pid=,ppid=,pcpu=,command= > /dev/null; do sleep 1; done",
    ),
    Step("pgrep in a wait loop", "pgrep", "while ! pgrep -x nosuchprogram; do sleep 0.1; done"),
    Step("make -j2", "make", BUILD, 25),
    Step(
        "python -m venv, pip install",
        PYTHON,
        f"{sys.executable} -m venv v && v/bin/pip install -q --no-index --find-links /nowhere pip",
        40,
        root=True,
    ),
    Step(
        "apt-get install, remove",
        "apt-get",
        "apt-get -o DPkg::Lock::Timeout=60 install -y -q hello; apt-get -o "
        "DPkg::Lock::Timeout=60 remove -y -q hello",
        60,
        root=True,
    ),
    Step("apt-get update", "apt-get", "apt-get -q update", 40, root=True),
    Step(
        "su, ten times", "su", "for n in 1 2 3 4 5 6 7 8 9 10; do su -s /bin/sh games -c id; done", root=True
    ),
    Step(
        "ssh to this host, five times",
        "sshd",
        "mkdir -p /run/sshd; ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f key; "
        + SSHD
        + " & s=$!; sleep 1; for n in 1 2 3 4 5; do ssh -p 20022 -i key -o StrictHostKeyChecking=no -o "
        "UserKnownHostsFile=/dev/null -o BatchMode=yes root@127.0.0.1 id; done; kill $s",
        15,
        root=True,
    ),
    Step(
        "cron's daily and hourly jobs",
        "run-parts",
        "run-parts /etc/cron.hourly; for j in dpkg logrotate apt-compat "
        "man-db sysstat; do test -x /etc/cron.daily/$j && timeout 8 /etc/cron.daily/$j; done",
        20,
        root=True,
    ),
)


@dataclass
class Outcome:
    """Effects of a step.

    Attributes:
        name, seconds: of the step; seconds it ran.
        session: its login session.
        by_process, by_session: the most listings of /proc in 5 s by one process, and by the session.
        alerts: names of detections, and how many alerts each.
        left: the same with --known-harmless; None: there was no need.
        why_not: why it did not run; "": it did.
        explained: why its alerts are right; "": they are not explained.
    """

    name: str
    seconds: float = 0.0
    session: int = -1
    by_process: int = 0
    by_session: int = 0
    alerts: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] | None = None
    why_not: str = ""
    explained: str = ""


class Listings:
    """Reads the kernel's multicast in a thread: time, pid and session of each open of the host's /proc."""

    def __init__(self) -> None:
        device = Path("/proc").stat().st_dev
        self._device = f"{os.major(device):02x}:{os.minor(device):02x}"
        self._who: dict[str, tuple[float, int, int]] = {}
        self.seen: list[tuple[float, int, int]] = []

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read during the block."""
        stopped = threading.Event()
        with Multicast([]) as source:
            thread = threading.Thread(target=self._read, args=(source.fileno(), stopped))
            thread.start()
            try:
                yield
            finally:
                stopped.set()
                thread.join()

    def _read(self, descriptor: int, stopped: threading.Event) -> None:
        while not stopped.is_set():
            if not select.select([descriptor], [], [], 0.1)[0]:
                continue
            try:
                datagram = os.read(descriptor, 1 << 16)
            except OSError:  # overrun: counted as missing by comparison with the alerts
                continue
            self.take(int.from_bytes(datagram[4:6], sys.byteorder), datagram[16:].decode(errors="replace"))

    def take(self, kind: int, text: str) -> None:
        """Take one record."""
        stamp = _SERIAL.search(text)
        if stamp is None or kind not in {_SYSCALL, _PATH, _URINGOP}:
            return
        fields = dict(_FIELD.findall(text))
        if kind != _PATH:
            when = float(f"{stamp[1]}.{stamp[2]}")
            self._who[stamp[3]] = (when, int(fields.get("pid", 0)), int(fields.get("ses", -1)))
            while len(self._who) > 1000:
                del self._who[next(iter(self._who))]
        elif (fields.get("inode"), fields.get("dev"), fields.get("mode")) == ("1", self._device, "040555"):
            who = self._who.pop(stamp[3], None)
            if who is not None:
                self.seen.append(who)

    def most(self, session: int) -> tuple[int, int]:
        """Return the most listings in 5 s by one process of a session, and by all of it."""
        times: dict[int, list[float]] = defaultdict(list)
        for when, pid, its_session in self.seen:
            if its_session == session:
                times[pid].append(when)
        everything = sorted(when for each in times.values() for when in each)
        return max((_densest(sorted(each)) for each in times.values()), default=0), _densest(everything)


def _densest(times: list[float]) -> int:
    first = most = 0
    for last, when in enumerate(times):
        while when - times[first] > WINDOW_S:
            first += 1
        most = max(most, last - first + 1)
    return most


@contextmanager
def sensor(folder: Path, *, harmless: bool) -> Iterator[list[dict[str, Any]]]:
    """Run `auditsense run` with its defaults; the list has its alerts when the block has ended."""
    alerts: list[dict[str, Any]] = []
    output = folder / "alerts.jsonl"
    flags = ["--known-harmless"] if harmless else []
    with output.open("wb") as file:
        command = [str(PROGRAM), "run", "--source", "netlink", "--duration", "300s", *flags]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if "watching" in line:
                    break
            else:
                sys.exit("the sensor did not start")
            yield alerts
            time.sleep(SETTLE_S)
        finally:
            process.terminate()
            process.communicate(timeout=60)
    documents = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    alerts += [one for one in documents if one.get("event", {}).get("kind") == "alert"]


def run(step: Step, folder: Path, outcome: Outcome) -> None:
    """Run one step in a new login session."""
    place = folder / re.sub(r"\W+", "-", step.name)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    place.chmod(0o777)
    user = "" if step.root else "setpriv --reuid=65534 --regid=65534 --clear-groups"
    login = (
        f"echo 65534 > /proc/self/loginuid; cat /proc/self/sessionid > {place}/session; cd {place}; "
        f'exec {user} env HOME={place} timeout -k 2 {step.seconds:g} sh -c "$1"'
    )
    started = time.monotonic()
    process = subprocess.Popen(
        ["sh", "-c", login, "sh", step.command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(step.seconds + 10)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    outcome.seconds = round(time.monotonic() - started, 1)
    outcome.session = int((place / "session").read_text())


def piece(steps: list[Step], outcomes: dict[str, Outcome], *, harmless: bool = False) -> int:
    """Run steps while a sensor runs. Returns how many alerts belong to none of them."""
    listings = Listings()
    with ground() as (_, folder), sensor(folder, harmless=harmless) as alerts, listings.reading():
        folder.chmod(0o711)  # most steps run as another user
        for step in steps:
            print(f"{'again: ' if harmless else ''}{step.name}", flush=True)
            run(step, folder, outcomes[step.name])
    by_session = {outcomes[step.name].session: outcomes[step.name] for step in steps}
    others = 0
    for step in steps:
        outcome = outcomes[step.name]
        if harmless:
            outcome.left = {}
        else:
            outcome.by_process, outcome.by_session = listings.most(outcome.session)
    for alert in alerts:
        session = str(alert.get("auditd", {}).get("session", ""))
        found = by_session.get(int(session)) if session.isdigit() else None
        if found is None:
            others += 1
            print(f"another program: {alert['rule']['id']} {alert.get('process', {}).get('executable')}")
            continue
        counted = found.left if found.left is not None and harmless else found.alerts
        counted[alert["rule"]["id"]] = counted.get(alert["rule"]["id"], 0) + 1
    return others


def pieces(steps: list[Step]) -> Iterator[list[Step]]:
    """Yield steps in groups of at most `PIECE_S`."""
    group: list[Step] = []
    for step in steps:
        if group and sum(one.seconds for one in group) + step.seconds > PIECE_S:
            yield group
            group = []
        group.append(step)
    if group:
        yield group


def main() -> int:
    parser = argparse.ArgumentParser(description="A day of ordinary use in ten minutes.")
    parser.add_argument("--only", default="", metavar="WORD", help="only steps whose name contains WORD")
    parser.add_argument("--json", metavar="FILE", help="write all figures to this file")
    arguments = parser.parse_args()
    outcomes = {step.name: Outcome(step.name) for step in STEPS if arguments.only in step.name}
    usable = []
    for step in STEPS:
        if step.name in outcomes and shutil.which(step.needs) is None:
            outcomes[step.name].why_not = f"{step.needs} is not installed"
        elif step.name in outcomes:
            usable.append(step)
    others = sum(piece(group, outcomes) for group in pieces(usable))
    again = [step for step in usable if outcomes[step.name].alerts]
    others += sum(piece(group, outcomes, harmless=True) for group in pieces(again))
    wrong = []
    for outcome in outcomes.values():
        if outcome.left:
            outcome.explained = EXPECTED.get(outcome.name, "")
            wrong += [] if outcome.explained else [outcome.name]
        alerts = ", ".join(f"{name} {count}" for name, count in outcome.alerts.items()) or "none"
        rest = "" if outcome.left is None else f"; with --known-harmless: {outcome.left or 'none'}"
        figures = f"{outcome.by_process:4} {outcome.by_session:4}  {alerts}{rest}"
        print(f"{outcome.name:42} {outcome.why_not or figures}")
    print(f"alerts of other programs of this host: {others}")
    result = {
        "bench": "ordinary_day",
        "command": "python bench/live/ordinary_day.py",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine(),
        "rows": [asdict(outcome) for outcome in outcomes.values()],
        "other_alerts": others,
    }
    write_json(arguments.json, result)
    for name in wrong:
        print(f"not covered and not explained: {name}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
