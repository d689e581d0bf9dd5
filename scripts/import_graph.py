"""Print the import graph of the package: groups, levels, arrows, upward arrows, cycles.

    python scripts/import_graph.py             # figures, and each group with what it imports
    python scripts/import_graph.py --json
    python scripts/import_graph.py --dot | dot -Tsvg >graph.svg

A group is a module or a folder directly below src/auditsense. An arrow A -> B means that a module of A
imports a module of B, type-only and lazy imports included. A level is the longest chain of arrows below a
group. An arrow points up when it leads to a group that stands later in ORDER, the order of the pipeline.
tests/project/test_layers.py allows no such arrow and no cycle.
"""

from __future__ import annotations

import argparse
import ast
import json
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).resolve().parents[1] / "src" / "auditsense"

ORDER: Final = (
    *(
        "_ffi",
        "_helper_ffi",
        "_lazy",
        "_frozen",
        "_child_process",
        "_broker_client",
        "_digest",
        "_resources",
        "_escape",
        "_toml",
        "_values",
    ),
    *("errors", "_file_trust", "syscalls"),
    *("core", "detections", "detect", "kernel", "sources", "replay", "sinks", "ship", "sensor"),
    *("status", "config", "bench", "doctor", "testing", "cli", "__main__", "__init__"),
)
"""The groups in the order of the pipeline: each may import from those before it."""


def group_of(path: Path) -> str:
    """Return the group of a module: its folder below the package, or its own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Return the full names that a module imports, also inside functions and for types only."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def graph() -> dict[str, set[str]]:
    """Return for each group the groups that it imports from."""
    modules = sorted(PACKAGE.rglob("*.py"))
    groups = {group_of(path) for path in modules} | {"_ffi", "_helper_ffi"}
    arrows: dict[str, set[str]] = {name: set() for name in groups}
    for path in modules:
        for name in imports(path):
            first, _, rest = name.partition(".")
            target = rest.partition(".")[0] if first == "auditsense" else ""
            if target and target not in groups:
                target = "__init__"  # a public name
            if target and target != group_of(path):
                arrows[group_of(path)].add(target)
    return arrows


def cycles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups that import each other, directly or through others; each circle once."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for target in arrows[todo.pop()] - seen:
                seen.add(target)
                todo.append(target)
        return seen

    reach = {name: reached(name) for name in arrows}
    circles = {frozenset({name, *(t for t in reach[name] if name in reach[t])}) for name in arrows}
    return sorted(sorted(circle) for circle in circles if len(circle) > 1)


def levels(arrows: dict[str, set[str]]) -> dict[str, int]:
    """Return the level of each group: 1 imports nothing; a circle counts as one group."""
    circle_of = {name: circle for circle in cycles(arrows) for name in circle}
    known: dict[str, int] = {}

    def level(name: str) -> int:
        if name not in known:
            members = circle_of.get(name, [name])
            below = {target for member in members for target in arrows[member]} - {*members}
            depth = 1 + max((level(target) for target in below), default=0)
            known.update(dict.fromkeys(members, depth))
        return known[name]

    return {name: level(name) for name in arrows}


def upward(arrows: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Return the arrows that lead to a group later in the pipeline."""
    rank = {name: place for place, name in enumerate(ORDER)}
    return sorted(
        (source, target)
        for source, targets in arrows.items()
        for target in targets
        if rank.get(target, len(rank)) > rank.get(source, len(rank))
    )


def summary() -> dict[str, object]:
    """Return the figures of the graph."""
    arrows = graph()
    return {
        "groups": len(arrows),
        "levels": max(levels(arrows).values()),
        "arrows": sum(len(targets) for targets in arrows.values()),
        "upward": [f"{source} -> {target}" for source, target in upward(arrows)],
        "cycles": cycles(arrows),
    }


def main() -> None:
    """Print the graph in the form asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object")
    parser.add_argument("--dot", action="store_true", help="the graph in the language of Graphviz")
    arguments = parser.parse_args()
    arrows = graph()
    if arguments.json:
        print(json.dumps(summary(), indent=2))
    elif arguments.dot:
        edges = [f'  "{a}" -> "{b}";' for a, targets in sorted(arrows.items()) for b in sorted(targets)]
        print("\n".join(["digraph auditsense {", *edges, "}"]))
    else:
        for key, figure in summary().items():
            print(f"{key}: {figure if figure != [] else 'none'}")
        for name, depth in sorted(levels(arrows).items(), key=lambda item: (-item[1], item[0])):
            print(f"{depth:3} {name}: {' '.join(sorted(arrows[name]))}")


if __name__ == "__main__":
    main()
