"""The core and the broker with a size_t of 32 bits: they compile without a warning, and their tests pass."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "src" / "auditsense"
TESTS = sorted((ROOT / "tests" / "c").glob("test_*.c"))
COMPILE = ["gcc", "-m32", "-std=c11", "-O1", "-g", "-fsanitize=address,undefined"]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wvla", "-Wcast-align", "-Werror"]
MORE = ["-Wno-missing-field-initializers", '-DAUDITSENSE_VERSION="32"']
WRAPPED = ["-Wl,--wrap=recvmmsg", "-Wl,--wrap=calloc"]


def compiled(*args: str) -> None:
    done = subprocess.run([*COMPILE, *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Compile the core for 32 bits."""
    folder = tmp_path_factory.mktemp("objects")
    (folder / "probe.c").write_text("#include <errno.h>\nint main(void) { return 0; }\n")
    probe = [*COMPILE, str(folder / "probe.c"), "-o", str(folder / "probe")]
    try:
        subprocess.run(probe, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("gcc cannot compile for 32 bits here (apt-get install gcc-multilib)")
    folders = (CORE / "_ring", CORE / "_helper")
    sources = [CORE / "_ring.c", *(file for folder in folders for file in sorted(folder.glob("*.c")))]
    out = [str(folder / f"{source.stem}.o") for source in sources]
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(compiled, *WARNINGS, *MORE, f"-I{CORE}", "-c", str(source), "-o", name)
            for source, name in zip(sources, out, strict=True)
        ]
        for job in jobs:
            job.result()
    return out


@pytest.mark.parametrize("source", TESTS, ids=[path.stem for path in TESTS])
def test_core_passes_its_tests_with_32_bits(source: Path, objects: list[str], tmp_path: Path) -> None:
    program = tmp_path / source.stem
    wrapped = WRAPPED if source.stem == "test_ring" else []
    includes = [f"-I{CORE}", f"-I{source.parent}"]
    compiled(
        *WARNINGS,
        *MORE,
        "-D_GNU_SOURCE",
        *includes,
        str(source),
        *objects,
        *wrapped,
        "-pthread",
        "-o",
        str(program),
    )
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=300)
    failed = [line for line in done.stdout.splitlines() if not line.startswith("ok")]
    assert done.returncode == 0, "\n".join(failed) + done.stderr
