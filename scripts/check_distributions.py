"""Install, run, upgrade and purge the packages of dist/ in root file systems of Debian.

Usage: sudo python scripts/check_distributions.py [--roots FOLDER] [--only NAME]...

NAME is bookworm, trixie or sid for the .deb, rpm for the .rpm with Debian's rpm, or portable.
debootstrap makes a root that FOLDER lacks. Each check works in a copy of it and leaves nothing on this host.
The sensor in the root uses this host's kernel audit, under the lock of the live tests.
The results go to packaging/results/distributions.json, for scripts/write_compatibility.py.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Path(__file__).resolve().parents[1]
DIST: Final = ROOT / "dist"
RESULTS: Final = ROOT / "packaging" / "results" / "distributions.json"
LOCK: Final = Path("/run/lock/auditsense-live.lock")
MIRROR: Final = os.environ.get("MIRROR", "http://deb.debian.org/debian")
SUITES: Final = ("bookworm", "trixie", "sid")
# What the root has before the package, as a usual host of that distribution has.
BASE: Final = ("python3", "systemd", "auditd", "man-db", "logrotate", "procps")
# dpkg, apt, ldconfig, man-db, Python and useradd write it about any package.
NOT_COMPARED: Final = re.compile(
    r"(dev|proc|sys|run|tmp|var/cache|var/lib/(apt|dpkg|rpm|systemd/deb-systemd|man-db)|var/log/(apt|dpkg|alternatives)"
    r"|etc/(passwd|group|shadow|gshadow|subuid|subgid)-|etc/\.pwd\.lock|root)"
)
OTHER_UID: Final = 65534
SHARED: Final = "root"  # folder of each root with the packages and the output of the sensor
WAIT_S: Final = 60.0

# Debian's rpm does not know Debian's packages, so finds no Python; its plugin unshare fails in a chroot.
RPM_OPTIONS: Final = ("--nodeps", "--noplugins")
# Opens /proc as pspy does, with a pause, until it is killed, but for ten minutes at most.
SCAN: Final = """
import os, time
for number in range(12000):
    os.close(os.open("/proc", os.O_RDONLY | os.O_CLOEXEC))
    time.sleep(0.05)
"""


class CheckError(Exception):
    """A step did not do what it must."""


@dataclass(slots=True)
class Report:
    """What a distribution did.

    Attributes:
        name: of the root.
        facts: what was found, by its name.
        steps: names of the steps that passed, in order.
        failed: the step that failed and why; empty: none.
    """

    name: str
    facts: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    failed: str = ""


def call(*words: str, limit: float = 600, ok: bool = True) -> str:
    """Run a program, return its output.

    Raises:
        CheckError: it failed or did not end.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise CheckError(f"{words[0]} is not installed; apt-get install {words[0]}") from None
    except subprocess.TimeoutExpired:
        raise CheckError(
            f"{' '.join(words)}: no end within {limit:.0f} s; try again when less runs"
        ) from None
    if ok and done.returncode:
        raise CheckError(
            f"{' '.join(words)}: exit code {done.returncode}: {(done.stdout + done.stderr)[-2000:]}"
        )
    return done.stdout + done.stderr


def the_file(pattern: str) -> Path:
    """Return the one file of dist/ with such a name.

    Raises:
        CheckError: there is none, or there are several.
    """
    found = [*DIST.glob(pattern)]
    if len(found) != 1:
        raise CheckError(f"dist/ has {len(found)} files {pattern}, not 1; scripts/build_packages.sh")
    return found[0]


class Chroot:
    """A copy of a root file system, with this host's /proc."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def call(self, *words: str, ok: bool = True) -> str:
        """Run a program in it, return its output."""
        return call("chroot", str(self.folder), *words, ok=ok)

    def start(self, *words: str, output: str) -> subprocess.Popen[bytes]:
        """Start a program in it; its output goes to a file in SHARED there."""
        with (
            (self.folder / SHARED / output).open("wb") as out,
            (self.folder / SHARED / f"{output}.err").open("wb") as err,
        ):
            return subprocess.Popen(
                ["chroot", str(self.folder), *words], stdout=out, stderr=err, stdin=subprocess.DEVNULL
            )

    def text(self, name: str) -> str:
        """Return what a program wrote so far."""
        return (self.folder / SHARED / name).read_text(encoding="utf-8", errors="replace")

    def files(self) -> dict[str, str]:
        """Return each file with its kind, mode, owner and content, but for those of other programs."""
        found = {}
        for place, folders, names in os.walk(self.folder):
            inside = Path(place).relative_to(self.folder)
            folders[:] = [name for name in folders if not NOT_COMPARED.match(str(inside / name))]
            for name in [*names, *folders]:
                path = Path(place) / name
                status = path.lstat()
                content = ""
                if path.is_symlink():
                    content = str(path.readlink())
                elif path.is_file():
                    content = hashlib.sha256(path.read_bytes()).hexdigest()
                if not NOT_COMPARED.match(str(inside / name)) and "__pycache__" not in (name, inside.name):
                    found[f"/{inside / name}"] = (
                        f"{status.st_mode:o} {status.st_uid}:{status.st_gid} {content}"
                    )
        return found


def mounts_below(folder: Path) -> list[str]:
    """Return what is mounted below a folder."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return [place for place in (line.split()[1] for line in lines) if place.startswith(f"{folder}/")]


def delete(folder: Path) -> None:
    """Delete a root, but nothing that is mounted in it.

    Raises:
        CheckError: something is mounted, which would be deleted with it.
    """
    if mounts := mounts_below(folder):
        raise CheckError(f"{folder} is not deleted, because it has mounts; umount {' '.join(mounts)}")
    call("rm", "-rf", "--one-file-system", str(folder))


@contextlib.contextmanager
def copied(base: Path, folder: Path) -> Iterator[Chroot]:
    """Copy a root for a while, with this host's /proc, read by its sensor. Its /dev is debootstrap's."""
    delete(folder)
    call("cp", "-a", "--reflink=auto", str(base), str(folder))
    call("mount", "--bind", "/proc", str(folder / "proc"))
    try:
        yield Chroot(folder)
    finally:
        call("umount", str(folder / "proc"))
        delete(folder)


def make_base(suite: str, roots: Path) -> Path:
    """Return a root of a suite, made where there is none."""
    folder = roots / f"{suite}.base"
    if not (folder / ".complete").exists():
        if not (folder / "usr/bin/apt-get").exists():
            call("debootstrap", "--variant=minbase", suite, str(folder), MIRROR, limit=1800)
        policy = folder / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")  # no daemon starts in a root
        policy.chmod(0o755)
        # The mirror of this host may be a snapshot, whose age apt does not check then.
        checked = call("apt-config", "dump", "--format", "%v", "Acquire::Check-Valid-Until").strip() or "true"
        option = f"Acquire::Check-Valid-Until={checked}"
        call("chroot", str(folder), "apt-get", "-o", option, "update", "-qq")
        call(
            "chroot",
            str(folder),
            "apt-get",
            "install",
            "-y",
            "-qq",
            "--no-install-recommends",
            *BASE,
            limit=1800,
        )
        (folder / ".complete").touch()
    return folder


def host_state(root: Chroot) -> list[str]:
    """Return the host's audit settings and rules without counters, by auditctl of a root."""
    settings = root.call("auditctl", "-s").splitlines()
    kept = [line for line in settings if not re.match(r"lost|backlog [0-9]|backlog_wait_time_actual", line)]
    return kept + root.call("auditctl", "-l").splitlines()


def wait_for(what: str, holds: Callable[[], bool]) -> None:
    """Wait until something holds.

    Raises:
        CheckError: it never did.
    """
    end = time.monotonic() + WAIT_S
    while not holds():
        if time.monotonic() > end:
            raise CheckError(f"{what}: not within {WAIT_S:.0f} s")
        time.sleep(0.05)


class Sensor:
    """A running `auditsense run` in a root."""

    def __init__(self, root: Chroot, output: str, program: str = "auditsense") -> None:
        self.root, self.output = root, output
        self.process = root.start(program, "run", "--format", "jsonl", "--self-test", "0", output=output)
        try:
            wait_for(
                "the sensor watches", lambda: "watching" in self.messages() or self.process.poll() is not None
            )
        except BaseException:  # also of a signal: nothing may run on in a root that is deleted
            self.stop()
            raise
        if self.process.poll() is not None:
            raise CheckError(f"the sensor ended: {self.messages()}")

    def messages(self) -> str:
        """Return what it wrote to standard error."""
        return self.root.text(f"{self.output}.err")

    def alerts(self, pid: int) -> list[dict[str, object]]:
        """Return the documents about a process, oldest first."""
        lines = [line for line in self.root.text(self.output).splitlines() if line.endswith("}")]
        return [one for one in map(json.loads, lines) if one.get("process", {}).get("pid") == pid]

    def user(self) -> str:
        """Return the effective user of the sensor's process, by its number."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return status.partition("\nUid:\t")[2].split("\t")[1]

    def end(self) -> None:
        """Stop it as a service manager does.

        Raises:
            CheckError: it failed.
        """
        if code := self.stop():
            raise CheckError(f"the sensor ended with {code}: {self.messages()[-1500:]}")

    def stop(self) -> int:
        """Stop it, return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def scanner(root: Chroot) -> subprocess.Popen[bytes]:
    """Start a process that opens /proc until it is killed, as another user."""
    words = ["chroot", f"--userspec={OTHER_UID}:{OTHER_UID}", str(root.folder), "python3", "-I", "-c", SCAN]
    return subprocess.Popen(words)


def upgrade_with_open_burst(root: Chroot, report: Report, upgrade: Callable[[], object]) -> None:
    """Upgrade the package while a burst is open: both versions report the scanner and restore the host."""
    with LOCK.open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _upgrade_with_open_burst(root, report, upgrade)


def _upgrade_with_open_burst(root: Chroot, report: Report, upgrade: Callable[[], object]) -> None:
    before = host_state(root)
    first = Sensor(root, "first")
    try:
        scan = scanner(root)
    except OSError:
        first.end()
        raise
    try:
        wait_for("an alert", lambda: bool(first.alerts(scan.pid)))
        user = root.call("id", "-un", first.user()).strip()
        report.facts["user of the running sensor"] = user
        if user != "auditsense":
            raise CheckError(f"the sensor runs as {user}, not as auditsense")
        report.steps.append("alert")
        upgrade()
        if first.process.poll() is not None:
            raise CheckError(f"the sensor ended during the upgrade: {first.messages()[-1500:]}")
        first.end()
        documents = first.alerts(scan.pid)
        if not any(one["auditsense"]["state"] == "closed" for one in documents):  # type: ignore[index]
            raise CheckError(f"the burst was not closed: {documents}")
        second = Sensor(root, "second")
        try:
            wait_for("an alert of the new version", lambda: bool(second.alerts(scan.pid)))
        finally:
            second.end()
        report.steps.append(
            "upgrade with an open burst: closed by the old version, reported again by the new one"
        )
    finally:
        scan.kill()
        scan.wait()
        if first.process.poll() is None:
            first.stop()
    if (after := host_state(root)) != before:
        raise CheckError(f"the host is not as it was: {before} then {after}")
    report.steps.append("audit of the host as before")


def check_programs(root: Chroot, report: Report) -> None:
    """Ask the installed commands, and check the files that other programs read."""
    report.facts["version"] = root.call("auditsense", "--version").strip()
    report.facts["Python"] = root.call("python3", "--version").strip()
    root.call("auditsense", "config", "check")
    root.call("man", "--path")
    root.call("sh", "-c", "man auditsense | grep -q audit && man auditsense.toml | grep -q source")
    root.call("systemd-analyze", "verify", "--man=no", "/usr/lib/systemd/system/auditsense.service")
    root.call("logrotate", "--debug", "/etc/logrotate.d/auditsense")
    root.call("id", "auditsense")
    root.call("id", "auditsense-ship")
    root.call("test", "-d", "/var/log/auditsense")
    report.steps.append("commands, manual, units, logrotate and accounts")


def difference(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the paths that differ."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def older(package: Path, folder: Path) -> Path:
    """Return the same package with a lower version and one file that the newer one lacks."""
    tree = folder / "older"
    call("dpkg-deb", "-R", str(package), str(tree))
    control = tree / "DEBIAN" / "control"
    control.write_text(
        re.sub(r"(?m)^Version: .*$", "Version: 0.0.1", control.read_text(encoding="utf-8")), encoding="utf-8"
    )
    (tree / "usr/lib/auditsense/auditsense/only_in_the_older_one.py").write_text("", encoding="utf-8")
    result = folder / "older.deb"
    call("dpkg-deb", "-Zgzip", "-z1", "--root-owner-group", "-b", str(tree), str(result))
    delete(tree)
    return result


def check_deb(suite: str, roots: Path, report: Report) -> None:
    """Install an older .deb, use it, upgrade, remove and purge."""
    package = the_file("auditsense_*_amd64.deb")
    with copied(make_base(suite, roots), roots / suite) as root:
        shutil.copy(package, root.folder / SHARED / "auditsense.deb")
        shutil.copy(older(package, roots), root.folder / SHARED / "older.deb")
        before = root.files()
        root.call("apt-get", "install", "-y", "-qq", f"/{SHARED}/older.deb")
        added = difference(before, root.files())
        report.facts["files"] = f"{len(before):,} before, {len(added):,} added or changed"
        report.steps.append("apt-get install")
        check_programs(root, report)
        edited = root.folder / "etc/auditsense/conf.d/own.toml"
        edited.write_text("[alerts]\n", encoding="utf-8")
        with (root.folder / "etc/auditsense/auditsense.toml").open("a", encoding="utf-8") as file:
            file.write("# edited\n")
        upgrade_with_open_burst(
            root, report, lambda: root.call("apt-get", "install", "-y", "-qq", f"/{SHARED}/auditsense.deb")
        )
        check_upgraded(root, report)
        root.call("apt-get", "remove", "-y", "-qq", "auditsense")
        kept = [path for path in difference(before, root.files()) if not path.startswith("/etc/")]
        left_by_remove = [
            path for path in kept if not path.startswith(("/var/log/auditsense", "/var/log", "/var/lib"))
        ]
        if left_by_remove or not edited.exists():
            raise CheckError(f"after remove: {left_by_remove}, own configuration {edited.exists()}")
        report.steps.append("remove keeps the configuration")
        root.call("apt-get", "purge", "-y", "-qq", "auditsense")
        check_gone(before, root, report)


def check_upgraded(root: Chroot, report: Report) -> None:
    """Check that an upgrade keeps edited files and leaves none of the older version.

    Raises:
        CheckError: it does not.
    """
    if "# edited" not in (root.folder / "etc/auditsense/auditsense.toml").read_text(encoding="utf-8"):
        raise CheckError("the upgrade overwrote an edited configuration")
    library = root.folder / "usr/lib/auditsense/auditsense"
    stale = [path.name for path in library.rglob("only_in_the_older_one*")]
    if stale or not [*library.rglob("__pycache__/*.pyc")]:
        raise CheckError(f"after the upgrade: {stale} is stale, or there is no byte code")
    report.steps.append("an edited configuration stays")


def check_gone(before: dict[str, str], root: Chroot, report: Report) -> None:
    """Check that the root is as it was.

    Raises:
        CheckError: files differ.
    """
    left = difference(before, root.files())
    report.facts["files after purge"] = f"{len(root.files()):,}, {len(left)} differ"
    if left:
        raise CheckError(f"left after purge: {left}")
    report.steps.append("purge: every file as before")


def check_rpm(_suite: str, roots: Path, report: Report) -> None:
    """Install the .rpm with Debian's rpm, use it, upgrade to a rebuilt one, and remove it."""
    package = the_file("auditsense-*.x86_64.rpm")
    with copied(make_base("trixie", roots), roots / "rpm") as root:
        root.call("apt-get", "install", "-y", "-qq", "--no-install-recommends", "rpm", "adduser")
        config = (ROOT / ".build/packages/nfpm-amd64.rpm.yaml").read_text(encoding="utf-8")
        changed = roots / "older.rpm.yaml"
        changed.write_text(re.sub(r'(?m)^version: ".*"$', 'version: "0.0.1"', config), encoding="utf-8")
        nfpm = ROOT / ".build/packages/nfpm/nfpm"
        older_rpm = root.folder / SHARED / "older.rpm"
        call(str(nfpm), "package", "--config", str(changed), "--packager", "rpm", "--target", str(older_rpm))
        shutil.copy(package, root.folder / SHARED / "auditsense.rpm")
        root.call("rpm", "--initdb")
        before = root.files()
        report.facts["requires"] = ", ".join(
            line
            for line in root.call("rpm", "-qpR", f"/{SHARED}/auditsense.rpm").splitlines()
            if "rpmlib" not in line
        )
        root.call("rpm", "-i", *RPM_OPTIONS, f"/{SHARED}/older.rpm")
        report.steps.append("rpm -i")
        check_programs(root, report)
        with (root.folder / "etc/auditsense/auditsense.toml").open("a", encoding="utf-8") as file:
            file.write("# edited\n")
        upgrade_with_open_burst(
            root, report, lambda: root.call("rpm", "-U", *RPM_OPTIONS, f"/{SHARED}/auditsense.rpm")
        )
        check_upgraded(root, report)
        root.call("rpm", "-e", "--noplugins", "auditsense")
        saved = root.folder / "etc/auditsense/auditsense.toml.rpmsave"
        if not saved.exists():
            raise CheckError("rpm -e lost an edited configuration")
        left = difference(before, root.files())
        allowed = (
            "/etc/auditsense",
            "/etc/passwd",
            "/etc/shadow",
            "/etc/group",
            "/etc/gshadow",
            "/etc",
            "/var/log",
        )
        beyond = [path for path in left if not path.startswith(allowed[0]) and path not in allowed[1:]]
        report.facts["left after rpm -e"] = (
            "the accounts and the edited configuration (.rpmsave), as with other rpm packages"
        )
        if beyond:
            raise CheckError(f"left after rpm -e: {beyond}")
        report.steps.append("rpm -e: every other file as before")


def check_portable(_suite: str, roots: Path, report: Report) -> None:
    """Use the archive where nothing else is, then on the kernel of this host, and delete it."""
    archive = the_file("auditsense-*-portable-x86_64.tar.xz")
    program = "/opt/auditsense/bin/auditsense"
    empty = roots / "empty"
    delete(empty)
    empty.mkdir()
    call("tar", "-C", str(empty), "-xJf", str(archive))
    shutil.copy(ROOT / "tests/data/pspy.capture", empty)
    report.facts["version"] = call("chroot", str(empty), program, "--version").strip()
    if "10x /proc" not in call(
        "chroot", str(empty), program, "replay", "/pspy.capture", "--format", "compact"
    ):
        raise CheckError("a replay in an empty root found nothing")
    call("chroot", str(empty), "/opt/auditsense/bin/python3", "-I", "-c", "import ctypes, sqlite3, ssl, zlib")
    report.facts["Python"] = call("chroot", str(empty), "/opt/auditsense/bin/python3", "--version").strip()
    report.steps.append("replay, SQLite and TLS in a root with nothing but the archive")
    delete(empty)
    with (
        copied(make_base("bookworm", roots), roots / "portable") as root,
        LOCK.open("w", encoding="ascii") as lock,
    ):
        before = root.files()
        call("tar", "-C", str(root.folder), "-xJf", str(archive))
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = host_state(root)
        sensor = Sensor(root, "portable", program)
        try:
            scan = scanner(root)
            try:
                wait_for("an alert", lambda: bool(sensor.alerts(scan.pid)))
            finally:
                scan.kill()
                scan.wait()
        finally:
            sensor.end()
        if (after := host_state(root)) != state:
            raise CheckError(f"the host is not as it was: {state} then {after}")
        report.steps.append("alert on the kernel of this host, whose audit is as before")
        root.call("rm", "-r", "/opt/auditsense")
        if left := difference(before, root.files()):
            raise CheckError(f"left after deleting it: {left}")
        report.steps.append("deleted: every file as before")


CHECKS: Final = {**dict.fromkeys(SUITES, check_deb), "rpm": check_rpm, "portable": check_portable}


def main() -> int:
    """Run the checks; returns 1 when one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--roots", type=Path, default=ROOT / ".build" / "roots", help="folder of the root file systems"
    )
    parser.add_argument("--only", action="append", choices=[*CHECKS], help="check only this one")
    arguments = parser.parse_args()
    if os.geteuid():
        parser.error("root is needed to make root file systems; sudo")
    arguments.roots.mkdir(parents=True, exist_ok=True)
    # So that a sensor is stopped and a mount removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    failed = False
    for name in arguments.only or CHECKS:
        report = Report(name)
        try:
            CHECKS[name](name, arguments.roots, report)
        except CheckError as problem:
            report.failed = str(problem)
        except KeyboardInterrupt:
            print(f"{name}: stopped by a signal; its root is deleted and the sensor ended", file=sys.stderr)
            return 130
        failed = failed or bool(report.failed)
        print(f"{name}: {report.failed or 'passed'}; {'; '.join(report.steps)}; {report.facts}", flush=True)
        results[name] = {"facts": report.facts, "steps": report.steps, "failed": report.failed}
        results[name]["day"] = time.strftime("%Y-%m-%d", time.gmtime())
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
