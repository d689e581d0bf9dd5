"""`AuditStatus`: the words of `struct audit_status`, complete or short."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense.errors import KernelCommandError
from auditsense.kernel.audit_status import AuditStatus, StatusField, setting_bytes

NAMES = [field.name for field in dataclasses.fields(AuditStatus)]
# As a 6.18 kernel answered AUDIT_GET after boot.
BOOTED = bytes.fromhex(
    "00000000 00000000 01000000 00000000 00000000 40000000 00000000 00000000 7f000000 983a000000000000"
)


@pytest.mark.skipif(struct.pack("=H", 1) != b"\1\0", reason="recorded on a little-endian machine")
def test_recorded_answer_decodes() -> None:
    assert AuditStatus.from_bytes(BOOTED) == AuditStatus(
        mask=0,
        enabled=0,
        failure=1,
        pid=0,
        rate_limit=0,
        backlog_limit=64,
        lost=0,
        backlog=0,
        feature_bitmap=0x7F,
        backlog_wait_time=15000,
        backlog_wait_time_actual=0,
    )


@given(st.lists(st.integers(0, 2**32 - 1), min_size=11, max_size=11), st.integers(32, 60))
def test_missing_words_are_none_and_surplus_is_ignored(words: list[int], length: int) -> None:
    payload = (struct.pack("=11I", *words) + b"\xff" * 16)[:length]
    status = AuditStatus.from_bytes(payload)
    arrived = min(length, 44) // 4
    values = [getattr(status, name) for name in NAMES]
    assert values[:arrived] == words[:arrived]
    assert values[arrived:] == [None] * (11 - arrived)


@pytest.mark.parametrize("length", [0, 4, 31])
def test_answer_below_32_bytes_is_an_error(length: int) -> None:
    with pytest.raises(KernelCommandError, match=f"{length} bytes"):
        AuditStatus.from_bytes(bytes(length))


@pytest.mark.parametrize("field", list(StatusField))
def test_setting_is_sent_alone_at_full_length(field: StatusField) -> None:
    payload = setting_bytes(field, 77)
    sent = AuditStatus.from_bytes(payload)
    assert len(payload) == 44
    assert sent.mask == field
    assert sent.value_of(field) == 77
    assert sum(struct.unpack("=11I", payload)) == field + 77
