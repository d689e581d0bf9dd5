"""Rule tables evaluated in Python, as the core does it, without the core."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from auditsense.core.rule_table import FALSE, TRUE, ArchText, Field, MaskedNumber, Network, Op

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auditsense.core.rule_table import Filter, Predicate, Program, RuleTable

Values = "Mapping[Field, Sequence[str]]"

_ALL_BITS = 0xFFFF_FFFF_FFFF_FFFF
_HEX = {Field.ARCH, Field.A0, Field.A1, Field.A2, Field.A3}


def class_of_call(table: RuleTable, arch: int, number: int) -> int:
    """Return the class of events with a call."""
    for call in table.calls:
        if (call.arch, call.syscall) == (arch, number):
            return call.class_index
    return table.other_call_class


def class_of_first_record(table: RuleTable, record_type: int, call_class: int | None) -> int:
    """Return the class of events that begin with a record of this type."""
    found = {main.call_class: main.class_index for main in table.mains if main.type == record_type}
    return found.get(call_class, found.get(None, call_class or 0))


def fitting(table: RuleTable, class_index: int, values: Mapping[Field, Sequence[str]]) -> list[Filter]:
    """Return the filters of a class that an event fits. Rule: a filter without a true anchor never fits."""
    found = []
    for one in table.classes[class_index].filters:
        fits = run(one.program, values)
        anchored = not one.anchors or any(holds(predicate, values) for predicate in one.anchors)
        assert anchored or not fits, one
        if fits:
            found.append(one)
    return found


def run(program: Program, values: Mapping[Field, Sequence[str]]) -> bool:
    """Run a decision program. Rule: it leads forward only."""
    at = 0 if program else TRUE
    while at not in {TRUE, FALSE}:
        node = program[at]
        following = node.yes if holds(node.predicate, values) else node.no
        assert following > at
        at = following
    return at == TRUE


def holds(predicate: Predicate, values: Mapping[Field, Sequence[str]]) -> bool:
    """Return whether any value of the field fits any operand."""
    found = values.get(predicate.field, ())
    if predicate.op is Op.PRESENT:
        return bool(found)
    if predicate.op is Op.LENGTH:
        found = found[:1]
    return any(_fits(predicate, value, operand) for value in found for operand in predicate.operands)


def _folded(text: bytes, predicate: Predicate) -> bytes:
    return re.sub(rb"[A-Z]", lambda letter: letter[0].lower(), text) if predicate.fold_case else text


def _fits(predicate: Predicate, value: str, operand: bytes | ArchText | MaskedNumber | Network) -> bool:
    match operand:
        case bytes() if predicate.op is Op.TEXT:
            return _folded(value.encode(), predicate) == _folded(operand, predicate)
        case bytes() if predicate.op is Op.LIKE:
            return _like(_folded(value.encode(), predicate), _folded(operand, predicate))
        case bytes():
            return run_regex(operand, value.encode())
        case Network(address, prefix):
            return _in_network(value, address, prefix)
        case MaskedNumber():
            return _compares(predicate, value, operand)
        case _:
            raise NotImplementedError(operand)


def _like(text: bytes, pattern: bytes) -> bool:
    parts = [
        b".*" if part == b"*" else rb".[\x80-\xbf]*+" if part == b"?" else re.escape(part)
        for part in re.split(rb"([*?])", pattern)
    ]
    return re.fullmatch(b"".join(parts), text, re.DOTALL) is not None


def _in_network(value: str, address: bytes, prefix: int) -> bool:
    try:
        found = ipaddress.ip_address(value)
    except ValueError:
        return False
    mapped = found.packed if found.version == 6 else bytes(10) + b"\xff\xff" + found.packed
    same = int.from_bytes(mapped) ^ int.from_bytes(address)
    return same >> (128 - prefix) == 0


def _compares(predicate: Predicate, value: str, operand: MaskedNumber) -> bool:
    if predicate.op is Op.LENGTH:
        number, op = len(value), predicate.length_op
    else:
        try:
            number, op = int(value, 16 if predicate.field in _HEX else 10), predicate.op
        except ValueError:
            return False
    match op:
        case Op.NUMBER:
            return number & operand.mask == operand.number & _ALL_BITS
        case Op.LESS:
            return number < operand.number
        case Op.AT_MOST:
            return number <= operand.number
        case Op.GREATER:
            return number > operand.number
        case _:
            return number >= operand.number


def run_regex(program: bytes, text: bytes) -> bool:
    """Run a program of `detections.regex`, by its layout."""
    words, classes, rows = program[0], program[1] + 1, int.from_bytes(program[2:4], "little")
    sets = [
        int.from_bytes(program[at : at + 8 * words], "little") for at in range(260, len(program), 8 * words)
    ]
    accepting, ahead, stays, more, *follow = sets[classes:]
    assert len(follow) == rows
    states_with_row = [state for state in range(64 * words) if more >> state & 1]
    states = 1
    for byte in text:
        following = (states << 1 & ahead) | (states & stays)
        for state, leads_to in zip(states_with_row, follow, strict=True):
            following |= leads_to if states >> state & 1 else 0
        states = following & sets[program[4 + byte]]
    return bool(states & accepting)
