"""Cases of a detection: recorded lines, and how often the detection must be completed by them.

One case is one fresh sensor that knows no process from before. The file is JSON:

    {"cases": [{"name": "…", "records": ["type=SYSCALL …", …], "expect": {"native": 1, "strict": 0}}]}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from auditsense.detect.detector import Detector
from auditsense.detections.compiler import compile_all
from auditsense.detections.event_table import EventMapping
from auditsense.errors import InputError
from auditsense.replay.replay import LIMITS, ORDER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from auditsense.core.rule_table import RuleTable
    from auditsense.detect.suppression import AlertPolicy
    from auditsense.detections.model import Detection

EXPECT_KEYS: Final = {
    "native": EventMapping.NATIVE,
    "strict": EventMapping.AUDITD_MANAGER,
    "auditd_manager": EventMapping.AUDITD_MANAGER,
}
"""Mapping of each key of `expect`; the last two are the same."""

_KEYS: Final = frozenset({"name", "records", "expect"})
_MOST_BYTES: Final = 64 << 20


class Case(NamedTuple):
    """One case.

    Attributes:
        name: for messages.
        records: lines as a daemon writes them.
        expect: completions by mapping; a mapping without a number is not tested.
        unknown: further keys, which mean nothing.
    """

    name: str
    records: tuple[str, ...]
    expect: dict[EventMapping, int]
    unknown: tuple[str, ...] = ()


def read_cases(path: str | PathLike[str]) -> list[Case]:
    """Return the cases of a file.

    Args:
        path: of a JSON file of 64 MiB at most.

    Raises:
        InputError: it cannot be read, or is not such a file.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise InputError(f"{file}: more than {_MOST_BYTES >> 20} MiB; divide it")
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{file}: not UTF-8 text, so no JSON") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON: {error}") from None
    rows = document.get("cases") if isinstance(document, dict) else document
    if not isinstance(rows, list) or not rows:
        raise InputError(f'{file}: expected {{"cases": […]}} with at least one case')
    return [_case(row, f"{file}: case {number}") for number, row in enumerate(rows, 1)]


class CaseRunner:
    """Cases of one detection in one mapping: it is compiled once, and each case has a new sensor."""

    def __init__(self, detection: Detection, mapping: EventMapping) -> None:
        self._detection, self._mapping = detection, mapping
        self._rules = compile_all([detection], merge_ms=0, mapping=mapping)

    def run(self, case: Case) -> int:
        """Return how often the records of a case complete the detection."""
        text = b"".join(map(_line, case.records))
        with _CompiledDetector(self._detection, self._mapping, self._rules) as detector:
            return len(detector.feed_text(text)) + len(detector.finish())


class _CompiledDetector(Detector):
    """A detector of one detection that is compiled."""

    def __init__(self, detection: Detection, mapping: EventMapping, rules: RuleTable) -> None:
        self._compiled_rules = rules
        super().__init__([detection], sequences=True, limits=LIMITS, order=ORDER, mapping=mapping)

    def _compile(self, detections: Sequence[Detection], policy: AlertPolicy) -> RuleTable:  # noqa: ARG002
        return self._compiled_rules


def run_case(detection: Detection, case: Case, mapping: EventMapping) -> int:
    """Return how often the records of a case complete a detection."""
    return CaseRunner(detection, mapping).run(case)


def _line(record: str) -> bytes:
    return f"{record}\n".encode("utf-8", "surrogateescape")


def _case(row: object, where: str) -> Case:
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected an object with name, records and expect")
    name = row.get("name", where.rpartition(": ")[2])
    records = row.get("records")
    if not isinstance(records, list) or not all(isinstance(record, str) for record in records):
        raise InputError(f"{where}: records must be a list of lines")
    for number, record in enumerate(records, 1):
        try:
            _line(record)
        except UnicodeEncodeError:
            raise InputError(
                f"{where}: line {number} of its records has half a character (\\ud800)"
            ) from None
    unknown = tuple(sorted(row.keys() - _KEYS))
    return Case(str(name), tuple(records), _expect(row.get("expect"), where), unknown)


def _expect(value: Any, where: str) -> dict[EventMapping, int]:  # noqa: ANN401 - JSON's own
    known = ", ".join(EXPECT_KEYS)
    if not isinstance(value, dict) or not value:
        raise InputError(f"{where}: expect must have a number for at least one of {known}")
    expect: dict[EventMapping, int] = {}
    for key, number in value.items():
        if key not in EXPECT_KEYS:
            raise InputError(f"{where}: expect has no mapping {key!r}; one of {known}")
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise InputError(f"{where}: expect.{key} must be a whole number from 0")
        expect[EXPECT_KEYS[key]] = number
    return expect
