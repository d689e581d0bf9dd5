"""`auditsense bench`: generated input, figures, table and page."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from auditsense import Detector, Host
from auditsense.bench import audit_lock, c_helpers, live, table
from auditsense.bench.flood import flood
from auditsense.bench.html import page
from auditsense.bench.inputs import EventKind, InputShape, chunks, cold, hot, log, measured_detections, packed
from auditsense.bench.latency import LatencyTrial
from auditsense.bench.offline import offline
from auditsense.bench.report import BenchReport, Goal, Row
from auditsense.bench.timing import PairedTimes, Spread, alternate, cpu_of, percentile
from auditsense.cli import bench, main
from auditsense.core.ring import core_version
from auditsense.errors import AuditSenseError, NoKernelAuditError
from auditsense.sinks import ReaderGoneError

if TYPE_CHECKING:
    from pathlib import Path

HERE = Host("0" * 32, "here")
MACHINE = {"cpu": "a <CPU>", "cpus": 2, "kernel": "6", "python": "3", "load_average": 0.5}
ROW = Row.of("a", "one / other", "x", Spread(1.0, 1.5, 2.0), goal=Goal(2), details={"ns_per_event": 12.5})
EVENTS = 3000
SHAPES = {
    "hot": hot(EVENTS),
    "cold": cold(EVENTS),
    **{kind.name: InputShape(EVENTS, kinds=(kind,)) for kind in EventKind},
    "interleaved": InputShape(EVENTS, pids=7, producers=64),
}


@pytest.fixture(autouse=True)
def _idle_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (0.5, 0.5, 0.5))


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


# --- input ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_generated_events_are_counted_in_both_forms(shape: InputShape) -> None:
    counted = []
    for text in (False, True):
        with Detector(host=HERE) as detector:
            if text:
                detector.feed_text(log(shape))
            else:
                detector.feed_packed(packed(shape))
            detector.finish()
            stats = detector.stats()
        assert stats.events == EVENTS
        lost = (stats.malformed, stats.incomplete, stats.late, stats.duplicate, stats.serials_missing)
        assert lost == (0, 0, 0, 0, 0)
        counted.append((stats.records, stats.matches, stats.sequences))
    assert counted[0] == counted[1]


@pytest.mark.parametrize("kind", EventKind)
def test_only_opens_match(kind: EventKind) -> None:
    with Detector(measured_detections(), host=HERE) as detector:
        detector.feed_packed(packed(InputShape(100, kinds=(kind,))))
        assert detector.stats().matches == (100 if kind is EventKind.OPEN else 0)


def test_input_depends_on_seed_and_not_on_piece_size() -> None:
    shape = cold(EVENTS)
    assert packed(shape) == packed(shape)
    assert packed(shape) != packed(replace(shape, seed=2))
    for size in (1, 64, 10**6):
        assert b"".join(chunks(shape, size=size)) == packed(shape)


@pytest.mark.parametrize(
    "wrong",
    [{"events": 0}, {"pids": 0}, {"pids": 4_000_000}, {"programs": 10_001}, {"producers": 0}, {"kinds": ()}],
)
def test_shape_rejects_values_out_of_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="out of bounds"):
        replace(hot(10), **wrong)


def test_flood_stays_within_configured_memory() -> None:
    result = flood(50_000)
    assert result.counted == 50_000
    assert result.evicted == 50_000 - 16_384
    assert result.core <= result.configured


# --- figures -------------------------------------------------------------------------------


def test_alternate_alternates_order_and_pairs_ratios() -> None:
    order: list[str] = []

    def run(name: str, seconds: list[float]) -> float:
        order.append(name)
        return seconds.pop(0)

    first, second = [2.0, 6.0, 4.0], [1.0, 2.0, 4.0]
    pairs = alternate(lambda: run("a", first), lambda: run("b", second), 3)
    assert "".join(order) == "abbaab"
    assert pairs.ratio == Spread(1.0, 2.0, 3.0)


def test_percentile_is_one_of_the_values() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, percent) for percent in (1, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([7.0], 99) == 7.0


def test_cpu_time_is_above_zero() -> None:
    assert cpu_of(lambda: None) > 0
    assert PairedTimes((1.0,), (cpu_of(lambda: None),)).ratio.median > 0


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        (Goal(2), 2.0, True),
        (Goal(2), 2.1, False),
        (Goal(2, at_least=True), 1.9, False),
        (Goal(2, at_least=True), 2.0, True),
        (None, 2.0, None),
        (Goal(2), None, None),
    ],
)
def test_goal_is_met_missed_or_unknown(goal: Goal | None, value: float | None, met: bool | None) -> None:  # noqa: FBT001 - a column
    assert Row("k", "q", "x", value, goal=goal).met is met


def latency(*milliseconds: float | None) -> dict[str, Row]:
    trials = [None if ms is None else LatencyTrial(int(ms * 1e6), int(ms * 1e6)) for ms in milliseconds]
    return {row.key: row for row in live.latency_rows(trials, flooded=False)}


@pytest.mark.parametrize(
    ("trials", "word", "value"),
    [(50, "maximum", 50.0), (99, "maximum", 99.0), (100, "99th percentile", 99.0)],
)
def test_percentile_of_few_trials_is_called_maximum(trials: int, word: str, value: float) -> None:
    row = latency(*range(1, trials + 1))["latency_idle"]
    assert row.question == f"tenth open to alert, {word}"
    assert (row.value, row.note) == (value, f"{trials} trials")


def test_negative_latency_is_counted_as_clock_error() -> None:
    rows = latency(1.0, -0.2, 3.0, None)
    row = rows["latency_idle"]
    assert (row.low, row.value, row.samples, row.details["clock_errors"]) == (1.0, 3.0, (1.0, 3.0), 1)
    assert row.note.startswith("2 trials, 1 more with a clock error")
    assert rows["latency_found_idle"].note == "3 of 4"


def test_clock_errors_only_are_no_figure() -> None:
    row = latency(-1.0)["latency_idle"]
    assert (row.value, row.met) == (None, None)
    assert row.note.startswith("not measured: 0 trials, 1 more with a clock error")


# --- output ----------------------------------------------------------------------


def report(*rows: Row, why: str = "not root") -> BenchReport:
    return BenchReport("1.2.3", MACHINE, rows, (), why)


def test_table_is_aligned_and_explains_missing_live_part() -> None:
    long = Row("b", "a much longer question than the other", "ms", 1234.5, goal=Goal(1000))
    lines = list(table.lines(report(ROW, long)))
    assert lines[0].startswith("auditsense 1.2.3, Linux 6")
    row = next(line for line in lines if line.startswith("one / other"))
    assert row.split() == ["one", "/", "other", "1.50x", "1x", "2x", "≤", "2x", "met"]
    other = next(line for line in lines if line.startswith("a much"))
    assert other.split("  ")[-1] == "missed"
    assert row.index("≤") + 2 + len("2x") == other.index("1,000 ms") + len("1,000 ms")
    assert lines[-1] == "live: not measured: not root"


def test_row_without_figure_has_reason() -> None:
    row = Row("k", "nothing", "x", note="not measured: there is no grep", goal=Goal(1))
    text = "\n".join(table.lines(report(row)))
    assert "not measured: there is no grep" in text
    assert " met" not in text


def test_page_has_every_row_and_no_external_resource() -> None:
    samples = Row("s", "alert <b>, maximum", "ms", 4.0, goal=Goal(5), samples=(0.0, 1.0, 4.0))
    text = page(report(ROW, samples))
    assert "<script" not in text
    assert "src=" not in text
    assert "href=" not in text
    assert "url(" not in text
    assert text.count("<meter") == 1
    assert "a &lt;CPU&gt;" in text
    assert "alert &lt;b&gt;" in text
    assert "<b>" not in text
    assert "one / other" in text


def test_page_of_empty_report() -> None:
    assert page(report()).startswith("<!doctype html>")


def test_steps_are_printed_to_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for stream, expected in ((io.StringIO(), ""), (Terminal(), "auditsense: the first\n"), (None, "")):
        monkeypatch.setattr("sys.stderr", stream)
        bench._print_step("the first")
        assert stream is None or stream.getvalue() == expected


# --- the command -----------------------------------------------------------------------------


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = main(["bench", *arguments])
    except SystemExit as ended:  # how argparse ends
        code = ended.code if isinstance(ended.code, int) else 0
    out, err = capsys.readouterr()
    return code, out, err


def test_files_are_written_when_the_reader_of_the_table_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`bench --json FILE | head` keeps the figures of several minutes."""
    monkeypatch.setattr(bench, "_measure", lambda _: BenchReport("0", MACHINE, (), (), "", "", ""))

    def closed(_line: str) -> None:
        raise ReaderGoneError("standard output was closed by its reader")

    monkeypatch.setattr(bench, "print_data", closed)
    assert main(["bench", "--json", str(tmp_path / "f.json")]) == 141
    assert json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))["rows"] == []


def test_offline_part_writes_table_json_and_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files = (tmp_path / "f.json", tmp_path / "f.html")
    arguments = ("--offline", "--events", "1000", "--json", str(files[0]), "--html", str(files[1]))
    code, out, err = call(capsys, *arguments)
    assert (code, err) == (0, "")
    assert "replay -o count / grep -c" in out
    assert "live: not measured: --offline was given" in out
    written = json.loads(files[0].read_text(encoding="utf-8"))
    rows = {row["key"]: row for row in written["rows"]}
    assert {"feed_hot", "feed_cold", "rate_hot", "pids_1000", "pids_100000", "flood_memory", "start"} <= {
        *rows
    }
    assert all(row["value"] is not None or "not measured" in row["note"] for row in written["rows"])
    assert rows["flood_memory"]["value"] <= 1
    assert written["command"] == "auditsense bench --offline --events 1000"
    assert datetime.fromisoformat(written["date"]).utcoffset() == timedelta(0)
    assert {"cpu", "cpus", "kernel", "load_average", "load_average_before"} <= {*written["machine"]}
    assert written["auditsense"] == core_version()
    assert written["commit"] is None or f"+g{written['commit']}" in written["auditsense"]
    for row in written["rows"]:  # each spread has its values, and no row an empty list
        assert ("samples" in row) == (row["low"] is not None)
        if "samples" in row:
            assert min(row["samples"]) == pytest.approx(row["low"], abs=1e-5)
            assert max(row["samples"]) == pytest.approx(row["high"], abs=1e-5)
    assert len(rows["feed_hot"]["samples"]) == 5
    assert files[1].read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--events", "999"), "1000 to 600000"),
        (("--events", "many"), "1000 to 600000"),
        (("--json", "/nowhere/at/all/f.json"), "no such folder"),
        (("--html", "/"), "is a folder"),
        (("--fast",), "--fast: unknown option"),
    ],
)
def test_wrong_usage_is_one_line_with_code_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], word: str
) -> None:
    code, out, err = call(capsys, "--offline", *arguments)
    assert (code, out) == (2, "")
    assert word in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("load", "warned"), [(2.0, False), (2.1, True)])
def test_load_above_number_of_processors_is_a_warning(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    load: float,
    warned: bool,  # noqa: FBT001 - a column
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr("auditsense.bench.offline.offline", lambda *_: iter([ROW]))
    code, _, err = call(capsys, "--offline")
    assert code == 0
    assert ("warning: the load average is 2.1 on 2 processors" in err) == warned


@pytest.mark.parametrize(("flags", "expected"), [((), 0), (("--fail-on-missed",), 1)])
def test_missed_goal_fails_only_on_request(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[str, ...],
    expected: int,
) -> None:
    missed = Row("slow", "much", "x", 3.0, goal=Goal(2))
    monkeypatch.setattr("auditsense.bench.offline.offline", lambda *_: iter([ROW, missed]))
    code, out, err = call(capsys, "--offline", *flags)
    assert code == expected
    assert "missed" in out
    assert err == ("auditsense: goals missed: slow\n" if expected else "")


def test_met_goals_do_not_fail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditsense.bench.offline.offline", lambda *_: iter([ROW]))
    assert call(capsys, "--offline", "--fail-on-missed")[0] == 0


def test_unprivileged_bench_skips_live_part(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("auditsense.bench.offline.offline", lambda *_: iter([ROW]))
    code, out, err = call(capsys)
    assert code == 0
    assert err == "auditsense: without the live part: not root\n"
    assert "live: not measured: not root" in out


def test_owned_audit_socket_skips_live_part(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("auditsense.bench.offline.offline", lambda *_: iter([ROW]))
    monkeypatch.setattr(audit_lock, "LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(audit_lock, "unavailable", lambda: "process 7 (auditd) owns the audit socket")
    monkeypatch.setattr(live, "compiler", lambda: "cc")
    monkeypatch.setattr(live, "compiled", lambda *_: pytest.fail("before the kernel was asked"))
    code, out, err = call(capsys)
    assert code == 0
    assert err == "auditsense: without the live part: process 7 (auditd) owns the audit socket\n"
    assert "one / other" in out


def test_failing_program_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditsense.bench.offline.auditsense", lambda *_: ("false",))
    code, _, err = call(capsys, "--offline", "--events", "1000")
    assert code == 1
    assert err.startswith("auditsense: error: false failed")
    assert err.count("\n") == 1


def test_missing_grep_is_noted_in_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditsense.bench.offline.find", lambda _: None)
    rows = {row.key: row for row in offline(1000, print)}
    assert rows["replay"].note == "not measured: there is no grep"


# --- bench compare -----------------------------------------------------------------------------


def written_report(path: Path, *rows: Row, **changes: object) -> str:
    document = BenchReport("1.2.3", MACHINE, rows, (), "", "auditsense bench", "2026-01-02T03:04:05+00:00")
    path.write_text(json.dumps(document.as_dict() | changes), encoding="utf-8")
    return str(path)


def test_compare_prints_ratios_with_their_spread(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    slower = Row.of("a", "one / other", "x", Spread(4.0, 6.0, 9.0))
    same = (Row("b", "lost", "", 0.0), Row("c", "memory", "MiB", 10.0, 9.0, 11.0))
    first = written_report(tmp_path / "a.json", ROW, *same, Row("d", "old", "ms", 1.0))
    second = written_report(tmp_path / "b.json", slower, *same, Row("e", "new", "ms", 2.0))
    code, out, err = call(capsys, "compare", first, second)
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["A:", "auditsense", "1.2.3,", "2026-01-02T03:04:05+00:00"]
    assert ["one", "/", "other", "1.50x", "6x", "4x", "2x", "9x", "higher"] in lines
    assert ["lost", "0", "0"] in lines
    assert ["memory", "10.0", "MiB", "10.0", "MiB", "1x", "0.82x", "1.22x", "within", "the", "spread"] in [
        [word.replace("10", "10.0") if word == "10" else word for word in line] for line in lines
    ]
    assert ["old", "1", "ms", "-"] in lines
    assert ["new", "-", "2", "ms"] in lines
    assert call(capsys, "compare", second, first)[1].count("lower") == 1


def test_compare_warns_about_another_machine_and_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first = written_report(tmp_path / "a.json", ROW)
    other: dict[str, object] = {"machine": MACHINE | {"kernel": "7"}, "command": "auditsense bench --offline"}
    code, _, err = call(capsys, "compare", first, written_report(tmp_path / "b.json", ROW, **other))
    assert code == 0
    assert "kernel 6 and 7" in err
    assert "command auditsense bench and auditsense bench --offline" in err
    assert err.count("warning") == 2


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "\0", "[" * 100_000, '{"auditsense": "1", "machine": {}, "rows": [{"key": "a"}]}',
     '{"auditsense": "1", "machine": {}, "rows": [{"key": "a", "question": "", "unit": "", "value": "1"}]}'],
)  # fmt: skip
def test_compare_refuses_other_files_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str
) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text(content, encoding="utf-8")
    code, out, err = call(capsys, "compare", written_report(tmp_path / "a.json", ROW), str(wrong))
    assert (code, out) == (2, "")
    assert err == (
        f"auditsense: error: {wrong}: not a report of auditsense bench; "
        "write one with auditsense bench --json FILE\n"
    )


def test_options_of_bench_are_found_in_addition_to_its_action(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--offline"])
    assert "it is an option of auditsense bench\n" in capsys.readouterr().err


def test_compare_names_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "compare", "/nowhere/a.json", "/nowhere/b.json")
    assert code == 2
    assert err.startswith("auditsense: error: /nowhere/a.json: No such file or directory; ")
    assert err.count("\n") == 1


# --- before the live part ----------------------------------------------------------------------


def test_live_part_requires_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert audit_lock.unavailable() == "not root"


def test_lock_held_by_another_run_is_an_error_after_wait(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import fcntl  # noqa: PLC0415 - here only

    path = tmp_path / "lock"
    monkeypatch.setattr(audit_lock, "LOCK", str(path))
    notices: list[str] = []
    with path.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with (
            pytest.raises(NoKernelAuditError, match="another live run"),
            audit_lock.exclusive_audit(notices.append, wait_s=0),
        ):
            pytest.fail("two at a time")
    assert len(notices) == 1


def test_lock_is_not_opened_through_link(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "foreign")
    monkeypatch.setattr(audit_lock, "LOCK", str(tmp_path / "lock"))
    with pytest.raises(OSError, match="symbolic links"), audit_lock.exclusive_audit(print):
        pytest.fail("followed")
    assert not (tmp_path / "foreign").exists()


def test_changed_audit_state_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    states = iter([((0, 1, 0, 0, 64, 60), ()), ((1, 1, 0, 0, 64, 60), ())])
    monkeypatch.setattr(audit_lock, "LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(audit_lock, "unavailable", lambda: "")
    monkeypatch.setattr(audit_lock, "audit_state", lambda: next(states))
    with pytest.raises(AuditSenseError, match="not restored"), audit_lock.exclusive_audit(print):
        pass


def test_missing_compiler_is_noted_in_every_live_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditsense.bench.c_helpers.find", lambda _: None)
    rows = list(live.live(live.LivePlan(), print))
    assert len(rows) >= 6
    assert {row.note for row in rows} == {f"not measured: {c_helpers.NO_COMPILER}"}


def test_package_contains_c_programs_of_live_part(tmp_path: Path) -> None:
    for source in (c_helpers.SCANNER, c_helpers.DRAIN):
        assert source.is_file()
        if c_helpers.compiler() is not None:
            assert os.access(c_helpers.compiled(source, tmp_path), os.X_OK)


def test_compile_error_is_one_line(tmp_path: Path) -> None:
    if c_helpers.compiler() is None:
        pytest.skip("there is no C compiler")
    source = tmp_path / "wrong.c"
    source.write_text("this is no C\n", encoding="ascii")
    with pytest.raises(AuditSenseError, match=r"wrong\.c cannot be compiled: .*error") as caught:
        c_helpers.compiled(source, tmp_path)
    assert "\n" not in str(caught.value)
