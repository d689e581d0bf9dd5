"""Write the bills of materials of what scripts/build_packages.sh has built, in CycloneDX 1.6.

Usage: python scripts/write_sbom.py DIST

auditsense-VERSION.cdx.json is of the sources, the wheels, the .deb and the .rpm.
auditsense-VERSION-portable-MACHINE.cdx.json is of an archive with Python and the C library.
The same content gives the same bill, so its time is that of the commit (SOURCE_DATE_EPOCH).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT: Final = Path(__file__).resolve().parents[1]
WORK: Final = ROOT / ".build" / "packages"
DEBIAN_NAMES: Final = {"x86_64": "amd64", "aarch64": "arm64", "s390x": "s390x"}
LICENSES: Final = {"cffi": "MIT-0", "pyroute2": "Apache-2.0 OR GPL-2.0-or-later"}
VENDORED: Final = re.compile(r"^(cffi|pyroute2)==(\S+)", re.MULTILINE)
PORTABLE: Final = re.compile(r"auditsense-(?P<version>.+)-portable-(?P<machine>\w+)\.tar\.xz")

Component = dict[str, Any]


def sha256(path: Path) -> list[dict[str, str]]:
    """Return the hash of a file as CycloneDX lists it."""
    return [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}]


def application(version: str) -> Component:
    """Return the component that a bill is about."""
    return {
        "type": "application",
        "bom-ref": "auditsense",
        "name": "auditsense",
        "version": version,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "purl": f"pkg:pypi/auditsense@{version.replace('+', '%2B')}",
    }


def python_packages() -> list[Component]:
    """Return the packages of Python that every installation has, with the versions of requirements/."""
    locked = (ROOT / "requirements" / "runtime.txt").read_text(encoding="utf-8")
    return [
        {
            "type": "library",
            "bom-ref": name,
            "name": name,
            "version": version,
            "licenses": [{"expression": LICENSES[name]}],
            "purl": f"pkg:pypi/{name}@{version}",
        }
        for name, version in VENDORED.findall(locked)
    ]


def debian_packages(machine: str) -> list[Component]:
    """Return Debian's packages in the archive for a machine, with the hash of each .deb."""
    listed = (WORK / f"portable-{DEBIAN_NAMES[machine]}.packages").read_text(encoding="utf-8")
    found = []
    for line in listed.splitlines():
        name, version, architecture, digest = line.split()
        quoted = version.replace("+", "%2B").replace(":", "%3A").replace("~", "~")
        found.append(
            {
                "type": "library",
                "bom-ref": f"debian-{name}",
                "name": name,
                "version": version,
                "hashes": [{"alg": "SHA-256", "content": digest}],
                "purl": f"pkg:deb/debian/{name}@{quoted}?arch={architecture}",
            }
        )
    return found


def bill(version: str, files: list[Path], libraries: list[Component]) -> dict[str, Any]:
    """Return a bill: what is built, and what it contains."""
    built = [
        {"type": "file", "bom-ref": f"file-{path.name}", "name": path.name, "hashes": sha256(path)}
        for path in files
    ]
    seconds = int(os.environ["SOURCE_DATE_EPOCH"])
    text: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": application(version),
        },
        "components": [*libraries, *built],
        "dependencies": [
            {"ref": "auditsense", "dependsOn": [one["bom-ref"] for one in libraries]},
            *({"ref": one["bom-ref"]} for one in libraries),
        ],
    }
    content = json.dumps(text, sort_keys=True)
    text["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, content).urn
    return text


def write(path: Path, text: dict[str, Any]) -> None:
    """Write a bill, if it is valid.

    Raises:
        SystemExit: it breaks the schema of CycloneDX.
    """
    content = json.dumps(text, indent=2) + "\n"
    if problem := JsonStrictValidator(SchemaVersion.V1_6).validate_str(content):
        raise SystemExit(f"{path.name}: no valid bill of materials: {problem}")
    path.write_text(content, encoding="utf-8")


def main(dist: Path) -> None:
    """Write a bill of each kind of content in a folder."""
    portable = {path: name for path in dist.iterdir() if (name := PORTABLE.fullmatch(path.name))}
    files = sorted(path for path in dist.glob("auditsense*") if not path.name.endswith(".cdx.json"))
    (sources,) = dist.glob("auditsense-*.tar.gz")
    version = sources.name.removeprefix("auditsense-").removesuffix(".tar.gz")
    write(
        dist / f"auditsense-{version}.cdx.json",
        bill(version, [path for path in files if path not in portable], python_packages()),
    )
    for path, name in sorted(portable.items()):
        machine = name["machine"]
        libraries = [*python_packages(), *debian_packages(machine)]
        write(dist / f"auditsense-{version}-portable-{machine}.cdx.json", bill(version, [path], libraries))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
