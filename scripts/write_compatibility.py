"""Write docs/compatibility.md from packaging/results/.

Usage: python scripts/write_compatibility.py    tests/project/test_packaging.py fails when it is due
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "packaging" / "results"
PAGE: Final = ROOT / "docs" / "compatibility.md"
HEAD: Final = """# Compatibility

Where the packages were installed and the sensor was run. This page is written from `packaging/results/` by
`python scripts/write_compatibility.py`; the commands below produce the results.

The sensor needs Linux 5.10 or newer with `CONFIG_AUDITSYSCALL`, and Python 3.11 to 3.15. Older distributions take
the archive with its own Python ([install](how-to/install.md)).
"""  # noqa: E501 - lines of a page
DISTRIBUTIONS: Final = """
## Distributions

`sudo python scripts/check_distributions.py` installs an older package into a root that debootstrap made, runs the
sensor against the kernel of this host, upgrades while a burst is open, removes and purges. Then it compares every
file of the root with those before: mode, owner and content. dpkg's own files are left out.
"""  # noqa: E501 - lines of a page
KERNELS: Final = """
## Kernels

`python scripts/kernels/boot.py` boots kernels of Debian under emulation, with the .deb in a root of Debian 12. A
check compares the fields of an alert with what the scan did, an exit code with the documented one, or the kernel's
audit before and after. Every process of the sensor must have a filter of system calls and no_new_privs.
`short` is the alert of a scan; `full` adds a kill, a burst, other system call tables, the golden rules, auditd, a
locked configuration and failure 2. `off` is a kernel with audit=0, `locked` one with a locked configuration, `archive` is
`short` with the archive with its own Python in place of the .deb. With `systemd` as the first process, dpkg installs,
upgrades and purges the package, and the service runs as shipped, but with ten minutes for its start and its watchdog:
alerts in the journal after a start, a restart, SIGKILL and an upgrade. The column shows which of them ran.
"""  # noqa: E501 - lines of a page
ARCHITECTURES: Final = """
## Architectures

`scripts/check_architectures.sh` compiles the core for other processors and runs its tests and the fuzz corpora under
qemu-user. The column "rules" counts lines of auditctl of which Python of that processor and its auditctl make the same
bytes (`scripts/check_rules.py` names the few that differ on purpose). `ARCHES="amd64 arm64 s390x"
scripts/build_packages.sh` builds wheels and packages for three of them; the files of a .deb that was booted above are those
of the wheel. The archive with its own Python was tried on x86-64 above, and on others where the checks are `archive`.
"""  # noqa: E501 - lines of a page
NAMES: Final = {
    "bookworm": "Debian 12, .deb",
    "trixie": "Debian 13, .deb",
    "sid": "Debian sid, .deb",
    "rpm": ".rpm, with Debian 13's rpm",
    "portable": "archive with its own Python",
}
BITS: Final = {"armhf": "32 bits, little-endian"}


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Return a table of Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def verdict(failed: object) -> str:
    """Return a word for what failed."""
    return f"**failed**: {failed}" if failed else "passed"


def distributions(results: dict[str, Any]) -> str:
    """Return the section about distributions."""
    rows, more = [], []
    for key, name in NAMES.items():
        if result := results.get(key):
            facts = result["facts"]
            version = facts.get("version", "").removeprefix("auditsense ")
            rows.append([name, facts.get("Python", ""), version, verdict(result["failed"]), result["day"]])
            more.append(f"**{name}.** {'. '.join(result['steps'])}.")
            more += [
                f"- {fact}: {facts[fact]}" for fact in sorted(facts) if fact not in ("Python", "version")
            ]
            more.append("")
    return (
        DISTRIBUTIONS
        + "\n"
        + table(["distribution", "Python", "version", "result", "day"], rows)
        + "\n"
        + "\n".join(more)
    )


def kernels(results: dict[str, Any]) -> str:
    """Return the section about kernels."""
    rows = []
    for key, result in sorted(results.items()):
        facts = result["facts"]
        rows.append(
            [
                facts.get("kernel", key.split()[0]),
                key.split()[1],
                facts.get("auditsense", "").removeprefix("auditsense "),
                facts.get("Landlock", "").partition(":")[0],
                f"{len(result['passed'])} passed"
                + (f", {verdict(sorted(result['failed']))}" if result["failed"] else ""),
                f"{result['seconds']} s",
                result["day"],
            ]
        )
    columns = ["kernel", "checks", "version", "Landlock", "result", "took", "day"]
    services = [result["facts"] for result in results.values() if "exposure" in result["facts"]]
    more = [f"\n{facts['systemd']}: {facts['exposure'].strip('→ :-)')}.\n" for facts in services]
    return KERNELS + "\n" + table(columns, rows) + "".join(more)


def architectures(results: list[str]) -> str:
    """Return the section about architectures."""
    rows = []
    for line in results:
        arch, result, endian, tests, cases, rules, version, day = line.split()
        bits = BITS.get(arch, f"64 bits, {endian}-endian")
        rows.append([arch, bits, version, result, tests, cases, rules, day])
    columns = ["architecture", "", "version", "result", "programs", "cases", "rules", "day"]
    return ARCHITECTURES + "\n" + table(columns, rows)


def page() -> str:
    """Return the text of the page."""
    parts = [HEAD]
    for name, section in (("distributions", distributions), ("kernels", kernels)):
        file = RESULTS / f"{name}.json"
        if file.exists():
            parts.append(section(json.loads(file.read_text(encoding="utf-8"))))
    file = RESULTS / "architectures.txt"
    if file.exists():
        parts.append(architectures(file.read_text(encoding="utf-8").splitlines()))
    return "".join(part if part.endswith("\n") else f"{part}\n" for part in parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
