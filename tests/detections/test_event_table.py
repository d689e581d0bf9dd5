"""Names of events, by system call and record type."""

from __future__ import annotations

import pytest

from auditsense import syscalls
from auditsense.core.rule_table import stands_alone
from auditsense.detections.event_table import (
    OTHER_CALL,
    SYSCALL_RECORD,
    EventMapping,
    kind_of_call,
    kind_of_event,
    kind_of_record,
    named_calls,
    record_types,
)

STRICT = EventMapping.AUDITD_MANAGER
# Names of C functions and of man pages, which no architecture has as a call.
NO_CALLS = {"newstat", "fstatat", "futimens", "seteuid", "setegid"}


def test_named_calls_exist() -> None:
    assert set(named_calls()) - syscalls.all_names() <= NO_CALLS


@pytest.mark.parametrize(
    ("call", "action", "category", "types", "path_index"),
    [
        ("openat", "opened-file", "file", ("info",), 0),
        ("rename", "renamed", "file", ("change",), 2),
        ("mkdirat", "created-directory", "file", ("creation",), 1),
        ("connect", "connected-to", "network", ("connection", "start"), None),
        ("finit_module", "loaded-kernel-module", "driver", ("start",), 0),
    ],
)
def test_call_has_the_names_of_its_row(
    call: str, action: str, category: str, types: tuple[str, ...], path_index: int | None
) -> None:
    kind = kind_of_call(call, STRICT)
    assert (kind.action, kind.category, kind.type) == ((action,), (category,), types)
    assert kind.path_index == path_index


@pytest.mark.parametrize("mapping", EventMapping)
def test_call_without_a_row_is_a_process_event_without_action(mapping: EventMapping) -> None:
    assert kind_of_call("ptrace", mapping) == OTHER_CALL
    assert (OTHER_CALL.action, OTHER_CALL.category, OTHER_CALL.type) == ((), ("process",), ("info",))


def test_native_mapping_only_adds() -> None:
    for call in named_calls():
        native, strict = kind_of_call(call), kind_of_call(call, STRICT)
        if call != "openat2":
            assert native.action[: len(strict.action)] == strict.action
            assert (native.category, native.type, native.path_index) == (
                strict.category,
                strict.type,
                strict.path_index,
            )
    assert kind_of_call("openat2") == kind_of_call("openat")
    assert kind_of_call("openat2", STRICT) == OTHER_CALL


def test_direction_is_that_of_calls_with_one_address() -> None:
    directions = {call: kind_of_call(call).direction for call in named_calls()}
    assert {call for call, direction in directions.items() if direction == "egress"} == {
        "connect",
        "sendto",
        "sendmsg",
    }
    assert {call for call, direction in directions.items() if direction == "ingress"} == {
        "accept",
        "accept4",
        "recvfrom",
        "recvmsg",
    }


def test_first_record_decides_the_action_and_adds_to_the_call() -> None:
    types = record_types()
    kind = kind_of_event(types["CONFIG_CHANGE"], "sendto")
    assert kind is not None
    assert kind.action == ("changed-audit-configuration",)
    assert kind.category == ("process", "configuration", "network")
    assert kind.type == ("change", "connection", "info")


def test_first_record_without_a_row_leaves_the_names_of_the_call() -> None:
    assert kind_of_event(1307, "openat") == kind_of_call("openat")
    assert kind_of_event(SYSCALL_RECORD, "openat") == kind_of_call("openat")


def test_record_of_user_space_without_a_row_has_no_names() -> None:
    assert kind_of_event(1199, None) is None
    assert kind_of_record(1199) is None


def test_records_of_user_space_stand_alone() -> None:
    alone = {name for name, number in record_types().items() if stands_alone(number)}
    assert {"USER_AUTH", "ADD_USER", "SERVICE_START", "USER_TTY"} <= alone
    assert not alone & {"LOGIN", "AVC", "SECCOMP", "KERN_MODULE", "CONFIG_CHANGE", "TTY"}
