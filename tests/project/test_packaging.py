"""What the packages are made of agrees with the project; the packages themselves are tried by scripts.

`scripts/check_distributions.py`, `scripts/kernels/boot.py` and `scripts/check_architectures.sh` take minutes;
their results are in packaging/results/. In CI scripts/test.sh boots one kernel with the checkout.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scripts.kernels import boot, checks

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKED = re.compile(r"^([a-z][a-z0-9._-]*)==([^ \\]+)", re.MULTILINE)


def locked(group: str) -> dict[str, str]:
    return dict(LOCKED.findall((ROOT / "requirements" / f"{group}.txt").read_text(encoding="utf-8")))


def wanted(group: str) -> set[str]:
    """Return the names of the packages that a dependency group asks for, those of included groups too."""
    names: set[str] = set()
    for one in PYPROJECT["dependency-groups"][group]:
        if isinstance(one, str):
            names.add(re.split(r"[^A-Za-z0-9._-]", one)[0].lower())
        else:
            names |= wanted(one["include-group"])
    return names


def test_every_locked_package_has_a_hash() -> None:
    for file in (ROOT / "requirements").glob("*.txt"):
        for block in re.split(r"\n(?=\w)", file.read_text(encoding="utf-8").strip()):
            assert "--hash=sha256:" in block, f"{file.name}: {block}"


@pytest.mark.parametrize("group", sorted(set(PYPROJECT["dependency-groups"]) - {"dev"}))
def test_every_group_is_locked(group: str) -> None:
    assert wanted(group) <= set(locked(group)), "scripts/lock.sh writes requirements/"


def test_groups_agree_about_versions() -> None:
    versions: dict[str, set[str]] = {}
    for file in (ROOT / "requirements").glob("*.txt"):
        for name, version in locked(file.stem).items():
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_packages_run_with_the_versions_of_python_that_they_have_modules_for() -> None:
    script = (ROOT / "scripts" / "build_packages.sh").read_text(encoding="utf-8")
    found = re.search(r'^PYTHONS="([^"]+)"', script, re.MULTILINE)
    assert found is not None
    versions = found[1].split()
    first, after = versions[0], f"3.{int(versions[-1].removeprefix('3.')) + 1}"
    config = (PACKAGING / "nfpm.yaml").read_text(encoding="utf-8")
    assert f"python3 (>= {first})" in config
    assert f"python3 (<< {after})" in config
    assert f"python3 >= {first}" in config
    assert f"python3 < {after}" in config
    assert PYPROJECT["project"]["requires-python"] == f">={first}"


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
def test_accounts_of_the_units_are_those_of_the_package(tmp_path: Path) -> None:
    for account in re.findall(
        r"^User=(\S+)",
        "\n".join(path.read_text() for path in ROOT.glob("src/auditsense/systemd/*")),
        re.MULTILINE,
    ):
        assert re.search(rf"^u\s+{account}\s", (PACKAGING / "auditsense.sysusers").read_text(), re.MULTILINE)
    (tmp_path / "etc").mkdir()
    done = subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", str(PACKAGING / "auditsense.sysusers")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {"auditsense", "auditsense-ship"} <= {
        line.split(":")[0] for line in (tmp_path / "etc/passwd").read_text().splitlines()
    }


def test_page_of_compatibility_is_written_from_the_results() -> None:
    program = (
        "import sys; sys.path.insert(0, 'scripts')\n"
        "from write_compatibility import page; print(page(), end='')"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == (ROOT / "docs/compatibility.md").read_text(encoding="utf-8"), (
        "python scripts/write_compatibility.py"
    )


def test_result_of_a_boot_has_each_check_by_its_whole_name(capsys: pytest.CaptureFixture[str]) -> None:
    checks.report("fact", "kernel", "6.1.0: of a test")
    checks.report("pass", "alert: confined", {"107": "uid 900"})
    checks.report("fail", "alert: exit code 0", 1, "line\nline")
    checks.report("fail", "alert: audit as before")
    lines = ["[ 1.0] a line of the kernel: no check", *capsys.readouterr().out.splitlines(), "2 failed"]
    assert boot.judge(lines) == {
        "facts": {"kernel": "6.1.0: of a test"},
        "passed": ["alert: confined"],
        "failed": {"alert: exit code 0": "1 line | line", "alert: audit as before": ""},
    }
