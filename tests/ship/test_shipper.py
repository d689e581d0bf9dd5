"""The shipper against a server with planned answers: what is delivered, kept, set apart and reported."""

from __future__ import annotations

import itertools
import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from auditsense.errors import UsageError
from auditsense.ship import pace, shipper
from auditsense.ship.config import ShipSettings, open_destination
from auditsense.ship.shipper import Shipper
from auditsense.sinks.spool import SpoolSink
from auditsense.sinks.spool_store import SpoolState, SpoolStore
from tests.support.faults import NO_HOST, NOTHING, Recorder
from tests.support.receiver import Receiver, Reply, bulk_answer, free_port, make_certificate, receiving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT_S = 300.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep waits short; `test_pace.py` tests their length."""
    monkeypatch.setattr(pace, "_FIRST_S", 0.02)
    monkeypatch.setattr(pace, "_MOST_S", 0.05)


def document(n: int) -> bytes:
    fields = {
        "@timestamp": "2026-11-24T07:13:55.204Z",
        "event": {"id": f"id-{n}", "dataset": "auditsense.alert", "kind": "alert"},
        "host": {"id": "h", "name": "here"},
        "auditsense": {"severity": "high", "events": [], "state": "alert"},
        "message": f"message {n}",
    }
    return json.dumps(fields).encode()


def fill(folder: Path, count: int, *more: tuple[str, bytes]) -> None:
    store = SpoolStore(folder, size=64 << 20)
    store.append([*((f"id-{n}", document(n)) for n in range(count)), *more])
    store.close()


def state(folder: Path) -> SpoolState:
    store = SpoolStore(folder)
    try:
        return store.state()
    finally:
        store.close()


def refused(folder: Path) -> dict[str, str]:
    store = SpoolStore(folder)
    try:
        return {document.id: reason for document, reason in store.refused()}
    finally:
        store.close()


@dataclass
class Run:
    """A run of a shipper: the shipper, and the lines it reported."""

    shipper: Shipper
    lines: list[str]


def first_report() -> bool:
    """Mark for `ship`: until the first report."""
    return False


def ship(folder: Path, url: str, *, until: Callable[[], object] | None = None, **settings: object) -> Run:
    """Deliver until the spool is empty or, with *until*, until that is true."""
    batch = int(str(settings.pop("batch", 100)))
    destination = open_destination(ShipSettings(url, **settings))  # type: ignore[arg-type]
    lines: list[str] = []
    running = Shipper(folder, destination, lines.append, batch=batch, rate=0)
    thread = threading.Thread(target=running.run, kwargs={"until_empty": until is None})
    thread.start()
    deadline = time.monotonic() + LIMIT_S
    while thread.is_alive() and not (until is not None and until()) and not (until is first_report and lines):
        assert time.monotonic() < deadline, lines
        time.sleep(0.01)
    running.stop()
    thread.join()
    return Run(running, lines)


def otlp(receiver: Receiver) -> str:
    return f"otlp+http://127.0.0.1:{receiver.port}"


def elastic(receiver: Receiver) -> str:
    return f"elasticsearch+http://127.0.0.1:{receiver.port}/logs-x"


# --- OTLP -----------------------------------------------------------------------------------------


def test_otlp_receives_each_document_once_in_order(folder: Path) -> None:
    fill(folder, 250)
    with receiving() as receiver:
        run = ship(folder, otlp(receiver))
    assert receiver.ids() == [f"id-{n}" for n in range(250)]
    assert [request.path for request in receiver.requests] == ["/v1/logs"] * 3
    assert run.shipper.counts.delivered == 250
    assert state(folder).documents == 0
    assert state(folder).counters == {"delivered": 250}
    assert run.lines == []


def test_otlp_record_has_time_severity_body_and_attributes(folder: Path) -> None:
    fill(folder, 1)
    with receiving() as receiver:
        ship(folder, otlp(receiver))
    (resource,) = json.loads(receiver.requests[0].body)["resourceLogs"]
    assert {"key": "host.name", "value": {"stringValue": "here"}} in resource["resource"]["attributes"]
    (record,) = resource["scopeLogs"][0]["logRecords"]
    assert record["timeUnixNano"] == "1795504435204000000"
    assert record["severityNumber"] == 17
    assert record["severityText"] == "high"
    assert record["body"] == {"stringValue": "message 0"}
    assert record["eventName"] == "auditsense.alert"
    attributes = {item["key"]: item["value"] for item in record["attributes"]}
    assert attributes["log.record.uid"] == {"stringValue": "id-0"}
    assert attributes["event.kind"] == {"stringValue": "alert"}
    assert attributes["auditsense.events"] == {"arrayValue": {"values": []}}
    assert not [name for name in attributes if name.startswith(("host.", "@"))]


def test_otlp_partial_success_sets_the_batch_apart(folder: Path) -> None:
    fill(folder, 20)
    some = Reply(body=lambda _: b'{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too old"}}')
    with receiving(Reply(), some, Reply()) as receiver:
        ship(folder, otlp(receiver), batch=10)
    assert set(refused(folder)) == {f"id-{n}" for n in range(10, 20)}
    assert refused(folder)["id-10"] == "rejected 3 of a batch of 10: too old"


# --- Elasticsearch --------------------------------------------------------------------------------


def test_elasticsearch_creates_documents_with_their_id(folder: Path) -> None:
    fill(folder, 2)
    with receiving(Reply(body=bulk_answer())) as receiver:
        ship(folder, elastic(receiver))
    (request,) = receiver.requests
    assert request.path == "/_bulk"
    assert request.headers["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line) for line in request.body.splitlines()] == [
        {"create": {"_index": "logs-x", "_id": "id-0"}},
        json.loads(document(0)),
        {"create": {"_index": "logs-x", "_id": "id-1"}},
        json.loads(document(1)),
    ]


def test_elasticsearch_items_have_separate_outcomes(folder: Path, fault: Recorder) -> None:
    """HTTP 200 with item errors: known, refused, overloaded and delivered documents in one answer."""
    fill(folder, 5)
    with receiving(Reply(body=bulk_answer(201, 409, 400, 429, 503)), Reply(body=bulk_answer())) as receiver:
        run = ship(folder, elastic(receiver))
    assert refused(folder) == {"id-2": "400: t: r"}
    assert receiver.requests[1].body.count(b'"create"') == 2
    counts = run.shipper.counts
    assert (counts.delivered, counts.duplicates, counts.refused, counts.failures) == (4, 1, 1, 1)
    assert run.lines[1] == "2 documents must be sent again: 429: t: r; documents wait in the spool"
    fault(
        "a receiver answers 200, with errors of single documents",
        how="a bulk answer with the statuses 201, 409, 400, 429 and 503",
        did="counted the known one as delivered, set the refused one apart, sent the last two again",
        lost="nothing: `ship --list-refused` prints the refused one",
        reported="the reason, and the id of the refused document",
        host=NO_HOST,
    )


def test_rejected_request_is_split_until_the_document_is_found(folder: Path) -> None:
    fill(folder, 64)
    picky = Reply(lambda body: 400 if b'"id-40"' in body else 200, bulk_answer())
    with receiving(picky) as receiver:
        ship(folder, elastic(receiver))
    assert list(refused(folder)) == ["id-40"]
    assert state(folder).counters["delivered"] == 63


def test_bodies_are_compressed_by_default(folder: Path) -> None:
    for compression, expected in (("gzip", "gzip"), ("none", None)):
        fill(folder, 20)
        with receiving() as receiver:
            ship(folder, otlp(receiver), compression=compression)
        (request,) = receiver.requests
        assert request.headers.get("Content-Encoding") == expected
        size = int(request.headers["Content-Length"])
        assert (size < len(request.body) / 5) == (expected is not None)
        assert receiver.ids() == [f"id-{n}" for n in range(20)]


def test_small_body_is_not_compressed(folder: Path) -> None:
    fill(folder, 0, ("a", b"{}"))
    with receiving() as receiver:
        ship(folder, otlp(receiver))
    assert "Content-Encoding" not in receiver.requests[0].headers


def test_receiver_without_gzip_gets_plain_bodies_from_then_on(folder: Path) -> None:
    fill(folder, 30)
    with receiving(Reply(415), Reply()) as receiver:
        run = ship(folder, otlp(receiver), batch=10)
    assert [request.headers.get("Content-Encoding") for request in receiver.requests] == ["gzip", *[None] * 3]
    assert run.shipper.counts.failures == 0
    assert run.shipper.counts.delivered == 30


def test_receiver_that_always_answers_415_is_waited_for(folder: Path) -> None:
    fill(folder, 30)
    with receiving(Reply(415)) as receiver:
        run = ship(folder, otlp(receiver), until=first_report)
    assert "answered 415 Unsupported Media Type; check the address" in run.lines[0]
    assert state(folder).documents == 30


def test_warning_of_a_receiver_is_printed_once(folder: Path) -> None:
    fill(folder, 30)
    warning = Reply(body=lambda _: b'{"partialSuccess":{"errorMessage":"cut\\u001b[2J"}}')
    with receiving(warning) as receiver:
        run = ship(folder, otlp(receiver), batch=10)
    assert run.shipper.counts.delivered == 30
    assert run.lines == ["the receiver took the documents and warns: cut\\x1b[2J"]


# --- receivers in trouble -------------------------------------------------------------------------

TROUBLE: dict[str, tuple[Reply, str]] = {
    "429": (Reply(429), "answered 429 Too Many Requests"),
    "503": (Reply(503, lambda _: b"come back later"), "answered 503 Service Unavailable: come back later"),
    "500": (Reply(500), "answered 500 Internal Server Error"),
    "401": (Reply(401), "answered 401 Unauthorized; check the credentials"),
    "404": (Reply(404), "answered 404 Not Found; check the address"),
    "302": (Reply(302, headers={"Location": "http://x/"}), "redirects are not followed"),
    "garbage": (Reply(raw=b"\x16\x03garbage\r\n\r\n"), "it did not answer with HTTP (BadStatusLine)"),
    "nothing": (Reply(raw=b""), "cannot reach"),
    "half a head": (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Le"), "cannot reach"),
    "half a body": (
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"),
        "it did not answer with HTTP (IncompleteRead)",
    ),
    "half a chunk": (
        Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"),
        "it did not answer with HTTP (IncompleteRead)",
    ),
    "a terminal's escape": (Reply(503, lambda _: b"\x1b[2J\nx"), r"503 Service Unavailable: \x1b[2J\nx"),
    "hangs": (Reply(hang=True), "it did not answer in time"),
}


@pytest.mark.parametrize(("reply", "message"), TROUBLE.values(), ids=TROUBLE)
def test_trouble_keeps_documents_and_is_reported_once(
    reply: Reply, message: str, folder: Path, fault: Recorder
) -> None:
    fill(folder, 3)
    with receiving(reply, reply, reply, Reply()) as receiver:
        run = ship(folder, otlp(receiver), timeout_s=0.3)
    assert state(folder).documents == 0
    assert set(receiver.ids()) == {"id-0", "id-1", "id-2"}
    assert run.shipper.counts.refused == 0
    assert run.shipper.counts.failures >= 3
    assert message in run.lines[0]
    assert run.lines[0].endswith("; documents wait in the spool")
    assert run.lines[-1].startswith("delivers again after ")
    assert len([line for line in run.lines if message in line]) <= 2
    fault(
        "a receiver hangs, answers 429, 503, 401, garbage, or half an answer",
        how="a server with such answers, three times each, then 200",
        did="kept the documents in the spool, waited longer each time, delivered them",
        lost="nothing",
        reported="the reason once, and “delivers again after … s”",
        host=NO_HOST,
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"items":[]}',
        b'{"items":[{"create":{}}]}',
        b'{"items":7}',
        b"[" * 100_000,
    ],
)
def test_answer_of_another_api_keeps_documents(folder: Path, answer: bytes) -> None:
    fill(folder, 1)
    with receiving(Reply(body=lambda _: answer), Reply(body=bulk_answer())) as receiver:
        run = ship(folder, elastic(receiver))
    assert "did not answer as a bulk API; check the address" in run.lines[0]
    assert state(folder).counters == {"delivered": 1}


def test_slow_answer_has_a_time_limit(folder: Path) -> None:
    """One byte in time after the other does not extend the limit of the request."""
    fill(folder, 1)

    with receiving(Reply()) as receiver:

        def slow(handler: object) -> None:
            for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
                try:
                    handler.wfile.write(bytes([byte]))  # type: ignore[attr-defined]
                except OSError:
                    break
                if receiver.ended.wait(0.1):
                    break
            handler.close_connection = True  # type: ignore[attr-defined]

        receiver.reply_to = slow  # type: ignore[method-assign]
        lines: list[str] = []
        destination = open_destination(ShipSettings(otlp(receiver), timeout_s=0.5))
        running = Shipper(folder, destination, lines.append, rate=0)
        thread = threading.Thread(target=running.run)
        thread.start()
        deadline = time.monotonic() + LIMIT_S
        while not lines and time.monotonic() < deadline:
            time.sleep(0.02)
        running.stop()
        thread.join()
    assert "it did not answer in time" in lines[0]


def test_receiver_that_is_not_there_keeps_documents(folder: Path) -> None:
    fill(folder, 1)
    run = ship(folder, f"otlp+http://127.0.0.1:{free_port()}", until=first_report)
    assert "Connection refused; documents wait in the spool" in run.lines[0]
    assert state(folder).documents == 1


@pytest.mark.parametrize("batch", [1, 100])
def test_wrong_receiver_that_refuses_everything_costs_no_document(
    folder: Path, batch: int, fault: Recorder
) -> None:
    """A server that takes no document at all is the wrong one, whatever it says about the documents."""
    fill(folder, 30)
    with receiving(Reply(400, lambda _: b"unsupported format")) as receiver:
        run = ship(folder, otlp(receiver), batch=batch, until=lambda: len(receiver.requests) > 60)
    assert refused(folder) == {}
    assert state(folder).documents == 30
    assert "the receiver accepts no document: " in run.lines[0]
    assert "answered 400 Bad Request: unsupported format" in run.lines[0]
    fault(
        "the receiver is the wrong one: it refuses every document",
        how="400 for each request",
        did="tried ten documents, set none apart, waited and tried again",
        lost=NOTHING,
        reported="“the receiver accepts no document: … answered 400 …”",
        host=NO_HOST,
    )


def test_first_document_that_is_refused_does_not_block_the_others(folder: Path) -> None:
    fill(folder, 5)
    one = {"create": {"status": 400, "error": {"type": "t", "reason": "r"}}}
    with receiving(
        Reply(body=lambda _: json.dumps({"items": [one]}).encode()), Reply(body=bulk_answer())
    ) as receiver:
        run = ship(folder, elastic(receiver), batch=1)
    assert run.shipper.counts.delivered == 5  # refused once only, and tried again once others were taken


def test_receiver_that_begins_to_refuse_everything_is_waited_for(folder: Path) -> None:
    fill(folder, 400)
    bad = Reply(body=bulk_answer(*[400] * 1000))
    with receiving(Reply(body=bulk_answer()), bad) as receiver:
        run = ship(folder, elastic(receiver), until=lambda: len(receiver.requests) > 20)
    assert run.shipper.counts.delivered == 100
    assert len(refused(folder)) == shipper._IN_ROW
    assert state(folder).documents == 200


def test_wrong_clock_changes_neither_order_nor_waits(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fault: Recorder
) -> None:
    """The wall clock leaps by years, back and forth, between and during requests."""
    clock = itertools.cycle([0.0, 4e9, 1.0, 2e9])
    monkeypatch.setattr(time, "time", lambda: next(clock))
    monkeypatch.setattr(time, "time_ns", lambda: int(next(clock) * 1e9))
    sink = SpoolSink(folder)
    for first in range(0, 40, 10):
        sink.write_lines(b"".join(document(n) + b"\n" for n in range(first, first + 10)))
    sink.close()
    with receiving(Reply(503), Reply(429), Reply()) as receiver:
        run = ship(folder, otlp(receiver), batch=10)
    assert list(dict.fromkeys(receiver.ids())) == [f"id-{n}" for n in range(40)]
    assert (run.shipper.counts.delivered, run.shipper.counts.failures) == (40, 2)
    assert state(folder).documents == 0
    fault(
        "the clock of the host is wrong, and leaps",
        how="the wall clock shows 1970, 2096 and 2033 in turn while 40 documents are spooled and delivered",
        did="delivered them in order, and waited as long as otherwise: neither uses the wall clock",
        lost=NOTHING,
        reported="nothing about the clock; each document has the stamps of its events",
        host=NO_HOST,
    )


# --- damaged documents, refused documents ---------------------------------------------------------


@pytest.mark.parametrize("line", [b"", b"{", b"[1]", b"\xff", b'{"a":1}\n{"b":2}', b"[" * 100_000])
def test_damaged_document_is_set_apart(folder: Path, line: bytes) -> None:
    fill(folder, 1, ("bad", line))
    with receiving() as receiver:
        ship(folder, otlp(receiver))
    assert receiver.ids() == ["id-0"]
    assert refused(folder) == {"bad": "damaged in the spool: no JSON object"}


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b'{"@timestamp":7,"event":[],"host":"x","auditsense":null}',
        b'{"@timestamp":"0001-01-01T00:00:00.000Z","x":[[{"a":[1.5,true,null]}]],"n":99999999999999999999}',
        b'{"@timestamp":"9999-12-31T23:59:59.999Z"}',
    ],
)
def test_any_object_becomes_a_record(folder: Path, line: bytes) -> None:
    fill(folder, 0, ("a", line))
    with receiving() as receiver:
        ship(folder, otlp(receiver))
    assert receiver.ids() == ["a"]


def test_refused_documents_can_be_sent_again_and_are_bounded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditsense.sinks.spool_store.MAX_REFUSED", 5)
    fill(folder, 8)
    store = SpoolStore(folder)
    store.refuse([(document, "no") for document in store.oldest(8, 1 << 20)])
    assert [document.id for document, _ in store.refused()] == [f"id-{n}" for n in range(3, 8)]
    assert store.state().counters == {"refused": 8, "discarded": 3}
    assert store.retry_refused() == 5
    assert [document.id for document in store.oldest(9, 1 << 20)] == [f"id-{n}" for n in range(3, 8)]
    store.close()


# --- TLS, secrets ---------------------------------------------------------------------------------


def test_tls_verifies_certificate_and_name(folder: Path, tmp_path: Path, fault: Recorder) -> None:
    fill(folder, 1)
    good, other = make_certificate(tmp_path, "good"), make_certificate(tmp_path, "other", "elsewhere")
    with receiving(certificate=good) as receiver:
        url = f"otlp+https://localhost:{receiver.port}"
        lines = ship(folder, url, until=first_report).lines
        assert "its certificate is not trusted: self-signed certificate; see --ca-file" in lines[0]
    with receiving(certificate=other) as receiver:
        url = f"otlp+https://localhost:{receiver.port}"
        lines = ship(folder, url, ca_file=str(other[0]), until=first_report).lines
        assert "Hostname mismatch" in lines[0]
        assert not receiver.requests
    assert state(folder).documents == 1
    with receiving(certificate=good) as receiver:
        ship(folder, f"otlp+https://localhost:{receiver.port}", ca_file=str(good[0]))
        assert receiver.ids() == ["id-0"]
    fault(
        "a receiver has the wrong certificate",
        how="one that no authority has signed, and one of another name",
        did="sent nothing, kept the documents",
        lost=NOTHING,
        reported="“its certificate is not trusted”, and why",
        host=NO_HOST,
    )


def test_client_certificate_is_presented(folder: Path, tmp_path: Path) -> None:
    fill(folder, 1)
    server, client = make_certificate(tmp_path, "server"), make_certificate(tmp_path, "client", "sensor")
    with receiving(certificate=server, client_ca=client[0]) as receiver:
        url = f"otlp+https://localhost:{receiver.port}"
        ship(folder, url, ca_file=str(server[0]), until=first_report)
        assert not receiver.requests
        ship(
            folder,
            url,
            ca_file=str(server[0]),
            client_cert_file=str(client[0]),
            client_key_file=str(client[1]),
        )
    assert receiver.ids() == ["id-0"]


@pytest.mark.parametrize(
    ("url", "name", "expected"),
    [
        ("otlp", "api_key_file", "Bearer secret:word"),
        ("elasticsearch", "api_key_file", "ApiKey secret:word"),
        ("otlp", "password_file", "Basic c2VjcmV0OndvcmQ="),
    ],
)
def test_secret_from_a_file_is_sent_and_read_again(
    folder: Path, tmp_path: Path, url: str, name: str, expected: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret:word\n")
    secret.chmod(0o600)
    fill(folder, 1)
    with receiving(Reply(body=bulk_answer()) if url == "elasticsearch" else Reply()) as receiver:
        options: dict[str, object] = {name: str(secret)}
        ship(folder, f"{url}+http://127.0.0.1:{receiver.port}/logs-x", until=None, **options)
    assert receiver.requests[0].headers["Authorization"] == expected


def test_credential_of_systemd_is_read(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("abc")
    (tmp_path / "key").chmod(0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    fill(folder, 1)
    with receiving() as receiver:
        ship(folder, otlp(receiver), api_key_file="credential:key")
    assert receiver.requests[0].headers["Authorization"] == "Bearer abc"


def test_proxy_is_used_for_http(folder: Path) -> None:
    fill(folder, 1)
    with receiving() as proxy:
        ship(folder, "otlp+http://collector.invalid:4318", proxy=f"http://127.0.0.1:{proxy.port}")
    assert proxy.requests[0].path == "http://collector.invalid:4318/v1/logs"


WRONG: list[tuple[dict[str, object], str]] = [
    ({"url": "http://x"}, "there is no destination http://; use otlp+https://HOST:4318,"),
    ({"url": "otlp+http://"}, "'otlp+http://' is not an address of a receiver"),
    ({"url": "otlp+http://x:99999"}, "'otlp+http://x:99999' is not an address"),
    ({"url": "otlp+http://u:p@x"}, "an address must not contain a password; use --password-file"),
    ({"url": "elasticsearch+http://x/UPPER"}, "'UPPER' is not a name of a data stream; use lower case"),
    ({"url": "nats://x/a b"}, "is not an address of a receiver"),
    ({"url": "nats://x/a.*"}, "'a.*' is not a subject to publish to; use words with dots"),
    ({"url": "nats://x", "proxy": "http://y"}, "the destination nats has no --proxy"),
    (
        {"url": "otlp+http://x", "nats_credentials_file": "/y"},
        "the destination otlp+http has no --nats-creds-file",
    ),
    (
        {"url": "otlp+https://x", "client_cert_file": "/y"},
        "a client certificate needs both --client-cert and",
    ),
    (
        {"url": "otlp+https://x", "api_key_file": "/nowhere"},
        "cannot read /nowhere: No such file or directory",
    ),
    ({"url": "otlp+https://x", "api_key_file": "credential:a"}, "this process has no systemd credentials"),
    ({"url": "otlp+https://x", "ca_file": "/nowhere"}, "cannot use the certificates in /nowhere"),
    ({"url": "otlp+https://x", "headers": ("no header",)}, "'no header' is not a header; use NAME:VALUE"),
    ({"url": "otlp+https://x", "headers": ("A:b\r\nC:d",)}, "is not a header; use NAME:VALUE"),
    ({"url": "otlp+https://x", "headers": ("Authorization:x",)}, "--header must not contain a secret"),
    ({"url": "otlp+https://x", "proxy": "socks5://u:secret@y"}, "the proxy socks5://…@y is not supported"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_wrong_setting_is_refused_with_a_remedy(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        open_destination(ShipSettings(**settings))  # type: ignore[arg-type]
    assert message in str(refusal.value)
    assert "secret@" not in str(refusal.value)


def test_secret_is_not_sent_without_tls_and_must_be_private(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("abc")
    secret.chmod(0o644)
    with pytest.raises(UsageError, match="any user may read this secret; run chmod 600"):
        open_destination(ShipSettings("otlp+https://logs.example", api_key_file=str(secret)))
    secret.chmod(0o600)
    with pytest.raises(UsageError, match="a secret is not sent without TLS"):
        open_destination(ShipSettings("otlp+http://logs.example", api_key_file=str(secret)))
    secret.write_bytes(b"a\nb")
    with pytest.raises(UsageError, match="expected one line of ASCII text"):
        open_destination(ShipSettings("otlp+https://logs.example", api_key_file=str(secret)))
