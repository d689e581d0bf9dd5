"""Enrichment of alerts with names of users and groups; test_containers.py has what is read of processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from auditsense import Sensor
from auditsense.detect.host import Host, this_host
from auditsense.sensor.containers import Containers
from auditsense.sensor.enrich import MOST_BYTES, UserNames, enrich
from auditsense.testing import FakeSource, burst

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(name="names")
def names_fixture(tmp_path: Path) -> UserNames:
    users, groups = tmp_path / "passwd", tmp_path / "group"
    users.write_text(
        "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n\nbad\nme:x:1000:1000::/:\n", encoding="utf-8"
    )
    groups.write_text("root:x:0:\nusers:x:1000:me\n", encoding="utf-8")
    return UserNames(users, groups)


# --- names -----------------------------------------------------------------------------


def test_ids_get_known_names(names: UserNames) -> None:
    document: dict[str, Any] = {
        "user": {
            "id": "1000",
            "effective": {"id": "0", "group": {"id": "0"}},
            "audit": {"id": "unset"},
            "group": {"id": "1000"},
            "saved": {"id": "4711"},
        },
        "file": {"uid": "0", "gid": "9"},
    }
    enrich(document, names, Containers())
    assert document == {
        "user": {
            "id": "1000",
            "name": "me",
            "effective": {"id": "0", "name": "root", "group": {"id": "0", "name": "root"}},
            "audit": {"id": "unset"},
            "group": {"id": "1000", "name": "users"},
            "saved": {"id": "4711"},
        },
        "file": {"uid": "0", "gid": "9", "owner": "root"},
    }


def test_changed_passwd_is_read_again(tmp_path: Path, names: UserNames) -> None:
    assert names.users.name_of("2000") is None
    (tmp_path / "passwd").write_text("new:x:2000:2000::/:\n", encoding="utf-8")
    assert (names.users.name_of("2000"), names.users.name_of("0")) == ("new", None)
    (tmp_path / "passwd").unlink()
    assert names.users.name_of("2000") is None


def test_passwd_is_read_up_to_limit(tmp_path: Path) -> None:
    users = tmp_path / "passwd"
    users.write_bytes(b"first:x:1:1::/:\n" + b"#" * MOST_BYTES + b"\nlast:x:2:2::/:\n")
    names = UserNames(users, users)
    assert (names.users.name_of("1"), names.users.name_of("2"), names.users.name_of("²")) == (
        "first",
        None,
        None,
    )


# --- a sensor --------------------------------------------------------------------------


@pytest.mark.parametrize(("audited", "named"), [(False, True), (True, False)])
def test_only_socket_owner_enriches(audited: bool, named: bool) -> None:  # noqa: FBT001 - a case's columns
    source = FakeSource(audited=audited)
    source.send(*burst(10))
    with Sensor(source=source) as sensor:
        (document,) = [
            document for document in sensor.poll() if document["event"]["dataset"] == "auditsense.alert"
        ]
    assert document["user"]["id"] == "65534"
    assert ("name" not in document["process"]["parent"]) or not audited
    assert ("name" in document["user"]) == (named and UserNames().users.name_of("65534") is not None)
    assert document["host"]["id"] == this_host().id


def test_ids_of_another_host_get_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditsense.detect.record_reader.this_host", lambda: Host("elsewhere", "elsewhere"))
    source = FakeSource()
    source.send(*burst(10))
    with Sensor(source=source) as sensor:
        sensor.reader.host = Host("another", "another")
        (document,) = [
            document for document in sensor.poll() if document["event"]["dataset"] == "auditsense.alert"
        ]
    assert "name" not in document["user"]
