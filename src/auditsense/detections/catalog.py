"""All detections that a command uses, each with the file that it comes from.

Rule 1: places add up: the shipped detections, folders, files. A file that is named twice is read once.
Rule 2: two detections with the same id are an error that names both files.
Rule 3: a refused file does not keep the others from being checked; each is reported.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from auditsense._values import did_you_mean
from auditsense.detections.elastic import RefusedRuleError
from auditsense.detections.loader import Skipped, detection_files, load_file, shipped_detections
from auditsense.detections.toml_table import problems_of
from auditsense.errors import DetectionError

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from auditsense.detections.model import Detection

SHIPPED: Final = "shipped with auditsense"
"""Origin of the detections that come with the package."""


class CheckedFile(NamedTuple):
    """One file, after it was read.

    Attributes:
        path: of the file.
        id: of its detection; "" when there is none.
        problems: why it was refused, each with the file's name; () when it was not.
        skipped: why it is not for this sensor; "" when it is.
        foreign: whether a refusal is no error of this host: it is a rule of Elastic, in a folder of them.
    """

    path: str
    id: str
    problems: tuple[str, ...] = ()
    skipped: str = ""
    foreign: bool = False


class Catalog:
    """Collects detections.

    Attributes:
        detections: in the order in which they were added.
        origins: file of each detection by its id; `SHIPPED` for those of the package.
    """

    def __init__(self) -> None:
        self.detections: list[Detection] = []
        self.origins: dict[str, str] = {}
        self._files: set[str] = set()

    def add_shipped(self) -> None:
        """Add the detections that come with the package."""
        for detection in shipped_detections():
            self._add(detection, SHIPPED)

    def add_known(self, origins: dict[str, str]) -> None:
        """Refuse the ids of these detections in files that are added later, but for the same files.

        Args:
            origins: file of each detection by its id, as another catalog has them.
        """
        self.origins.update(origins)

    def add_path(self, path: str | PathLike[str], *, may_be_empty: bool = False) -> list[CheckedFile]:
        """Add the detections of a file or a folder. Returns what became of each file.

        Args:
            path: of it.
            may_be_empty: whether a folder without detections is accepted.

        Raises:
            DetectionError: it does not exist, or is a folder that cannot be read.
        """
        results: list[CheckedFile] = []
        for file in detection_files(path, may_be_empty=may_be_empty):
            real = os.path.realpath(file)
            if real in self._files:
                continue
            self._files.add(real)
            results.append(self._add_file(file, named=str(file) == str(path)))
        return results

    def unknown_joins(self) -> dict[str, str]:
        """Return what is wrong with the `joins` of detections: a sentence by the id of each one.

        A shipped detection is known, whether it was added or not.
        """
        unknown = {
            detection.id: names
            for detection in self.detections
            if (names := [name for name in detection.joins if name not in self.origins])
        }
        if not unknown:
            return {}
        known = {*self.origins, *(detection.id for detection in shipped_detections())}
        return {
            of: f"joins names {name!r}, and no detection has this id{did_you_mean(name, sorted(known))}"
            for of, names in unknown.items()
            for name in names
            if name not in known
        }

    def _add_file(self, file: Path, *, named: bool) -> CheckedFile:
        try:
            loaded = load_file(file, skip=not named)
            if isinstance(loaded, Skipped):
                return CheckedFile(str(file), "", skipped=loaded.reason)
            self._add(loaded, str(file))
        except RefusedRuleError as error:
            return CheckedFile(str(file), "", problems_of(error), foreign=not named)
        except DetectionError as error:
            return CheckedFile(str(file), "", problems_of(error))
        return CheckedFile(str(file), loaded.id)

    def _add(self, detection: Detection, origin: str) -> None:
        other = self.origins.get(detection.id)
        if other is not None and not _same(other, origin):
            remedy = "; or leave the shipped ones out (--no-shipped)" if other is SHIPPED else ""
            raise DetectionError(
                f"{origin}: the id {detection.id!r} is taken by a detection {_from(other)}; "
                f"give it another{remedy}"
            )
        self.detections.append(detection)
        self.origins[detection.id] = origin


def _same(file: str, other: str) -> bool:
    return os.path.realpath(file) == os.path.realpath(other)


def _from(origin: str) -> str:
    return origin if origin is SHIPPED else f"of {origin}"
