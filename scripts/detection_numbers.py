"""Print how large the detections of a folder are when they are compiled, by mapping.

    AUDITSENSE_ELASTIC_RULES=/path/to/detection-rules .venv/bin/python scripts/detection_numbers.py [FOLDER]

FOLDER has Elastic's rules, or detections of our own. Rules that are refused are counted.
"""

from __future__ import annotations

import os
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense import syscalls
from auditsense.core.rule_table import Op, lay_out
from auditsense.detections import elastic
from auditsense.detections.compiler import compile_all, tests_of
from auditsense.detections.event_table import EventMapping
from auditsense.detections.own_query import query_of
from auditsense.errors import DetectionError

if TYPE_CHECKING:
    from auditsense.core.rule_table import Class, RuleTable
    from auditsense.detections.expression import Test
    from auditsense.detections.model import Detection

CALLS = ("execve", "open", "openat", "connect", "mprotect", "kill", "prctl", "ptrace")


def main() -> int:
    """Print the numbers; return the exit code."""
    folder = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AUDITSENSE_ELASTIC_RULES")
    if not folder:
        sys.stderr.write("no folder: name one, or set AUDITSENSE_ELASTIC_RULES\n")
        return 2
    detections = load(Path(folder))
    steps = [step for detection in detections for step in query_of(detection).steps]
    tests = [test for step in steps for test in tests_of(step.where)]
    print(
        f"filters {len(steps)}, comparisons {len(tests)}, different {len({as_set(test) for test in tests})}"
    )
    for mapping in EventMapping:
        begin = time.process_time()
        table = compile_all(detections, merge_ms=0, mapping=mapping)
        print(f"\n{mapping}: compiled in {time.process_time() - begin:.2f} s of processor time")
        show(table)
    return 0


def load(folder: Path) -> list[Detection]:
    """Return the rules for audit events that compile."""
    detections: dict[str, Detection] = {}
    outcomes: Counter[str] = Counter()
    for path in sorted(folder.rglob("*.toml")):
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        if not elastic.is_elastic(document):
            continue
        try:
            detection = elastic.detection_of_rule(document, path.name)
        except DetectionError:
            outcomes["refused"] += 1
            continue
        if elastic.reason_to_skip(document).startswith("none of its indices"):
            outcomes["not for audit events"] += 1
            continue
        outcomes[str(query_of(detection).kind)] += 1
        detections[detection.id] = detection
    print(", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common()))
    return [*detections.values()]


def as_set(test: Test) -> tuple[object, ...]:
    """Return what makes a comparison equal to another."""
    return (
        test.field,
        test.operator,
        test.fold_case,
        tuple(sorted(map(str, test.values))),
        test.length_operator,
    )


def show(table: RuleTable) -> None:
    """Print the size of a table, and of the classes of some calls."""
    layout = lay_out(table)
    print(", ".join(f"{name} {count}" for name, count in layout.counts.items() if count))
    for call in CALLS:
        number = syscalls.number(call, "x86_64")
        index = next(
            (
                row.class_index
                for row in table.calls
                if (row.arch, row.syscall) == (syscalls.ARCHES["x86_64"], number)
            ),
            table.other_call_class,
        )
        print(f"{call:8} {describe(table.classes[index])}")


def describe(row: Class) -> str:
    """Return the numbers of a class."""
    predicates = {node.predicate for one in row.filters for node in one.program}
    values = {value for predicate in predicates for value in predicate.operands}
    anchors: Counter[str] = Counter()
    for one in row.filters:
        kinds = {f"{anchor.field.name.lower()} {anchor.op.name.lower()}" for anchor in one.anchors}
        anchors[", ".join(sorted(kinds)) or "none"] += 1
    patterns = {anchor for one in row.filters for anchor in one.anchors if anchor.op is not Op.TEXT}
    by_anchor = "; ".join(f"{count} by {kind}" for kind, count in anchors.most_common(4))
    return (
        f"filters {len(row.filters)}, predicates {len(predicates)}, values {len(values)}, "
        f"anchors that are patterns {len(patterns)} ({by_anchor})"
    )


if __name__ == "__main__":
    sys.exit(main())
