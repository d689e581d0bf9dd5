"""Configuration: files and flags to settings, errors with their line, and the way back to text."""

from __future__ import annotations

import json
import os
import re
import tomllib
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense._file_trust import MAX_BYTES
from auditsense._toml import Places
from auditsense._values import WrongValueError, duration
from auditsense.cli import main
from auditsense.cli.parser import build_parser
from auditsense.config.keys import KEYS, REPEATED, TABLES
from auditsense.config.loader import config_files, load_files
from auditsense.config.option import Key, ValueType
from auditsense.config.render import dump, reference, sample
from auditsense.config.settings import build_settings, keys_needing_restart, load_config
from auditsense.core.ring import Limits, Ring
from auditsense.core.rule_table import RuleTable
from auditsense.detect.suppression import AlertPolicy
from auditsense.errors import ConfigError
from auditsense.sinks.config import FileSettings
from auditsense.status.config import StatusSettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
UNPRIVILEGED = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
SHIPPED = ["pspy", "proc-scan", "proc-scan-session", "proc-scan-slow"]


def written(folder: Path, text: str, name: str = "auditsense.toml") -> Path:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o644)
    return file


def arguments(*words: str, config: Path | None = None) -> argparse.Namespace:
    named = ["-c", str(config)] if config is not None else []
    return build_parser().parse_args(["config", "dump", *named, *words])


def problems(folder: Path, text: str, *words: str) -> list[str]:
    """Return what is wrong with a file, without its folder."""
    file = written(folder, text)
    config = load_config(arguments(*words, config=file))
    try:
        build_settings(config)
    except ConfigError as error:
        return [one.replace(f"{folder}/", "") for one in error.problems]
    return []


# --- which files ---------------------------------------------------------------


def test_main_file_is_read_before_conf_d_by_name(tmp_path: Path) -> None:
    assert config_files(None, tmp_path) == []
    main_file = written(tmp_path, "")
    more = [written(tmp_path / "conf.d", "", name) for name in ("10-a.toml", "9-b.toml", "z.toml")]
    written(tmp_path / "conf.d", "", "README")
    assert config_files(None, tmp_path) == [main_file, *more]


def test_named_file_is_the_only_one(tmp_path: Path) -> None:
    written(tmp_path / "conf.d", "[alerts]\nmax_alerts = 1\n", "a.toml")
    file = written(tmp_path, "")
    assert config_files(str(file), tmp_path) == [file]


def test_later_file_overrides_key_and_flag_overrides_all(tmp_path: Path) -> None:
    written(tmp_path, "[alerts]\nmax_alerts = 1\ninterval = '1m'\n[source]\nlean = true\nname = 'netlink'\n")
    written(tmp_path / "conf.d", "[alerts]\nmax_alerts = 2\n", "a.toml")
    config = load_config(arguments("--source", "multicast"), tmp_path)
    settings = build_settings(config)
    assert settings.policy == AlertPolicy(max_alerts=2, interval_ms=60_000)
    assert settings.source.lean
    assert settings.source.name == "multicast"
    assert config.values["alerts.max_alerts"].origin == f"{tmp_path}/conf.d/a.toml:2"
    assert config.values["source.name"].origin == "--source"


def test_flag_reverts_file(tmp_path: Path) -> None:
    file = written(tmp_path, "[source]\nlean = true\nself_test = '1h'\n")
    settings = build_settings(load_config(arguments("--no-lean", "--self-test", "0", config=file)))
    assert not settings.source.lean
    assert settings.source.self_test_s == 0


def test_missing_and_empty_file_give_defaults(tmp_path: Path) -> None:
    for config in (load_files([]), load_files([written(tmp_path, "")])):
        settings = build_settings(config)
        assert settings.policy == AlertPolicy()
        assert settings.limits == Limits()
        assert settings.status == StatusSettings()
        assert [one.id for one in settings.detections] == SHIPPED
        assert settings.source.self_test_s is None


# --- what is wrong --------------------------------------------------------------

WRONG = {
    "[alerts]\nmax_alert = 3": [
        "auditsense.toml:2: alerts.max_alert: there is no such key; did you mean max_alerts?"
    ],
    "[alert]": ["auditsense.toml:1: there is no table alert; did you mean alerts?"],
    "lean = true": ["auditsense.toml:1: lean: belongs into a table: [source]"],
    "nonsense = 1": ["auditsense.toml:1: there is no table nonsense"],
    "\n\n[alerts]\nmax_alerts = '3'": [
        'auditsense.toml:4: alerts.max_alerts: must be a whole number, not "3"'
    ],
    "[alerts]\nmax_alerts = true": ["auditsense.toml:2: alerts.max_alerts: must be a whole number, not true"],
    "[alerts]\nmax_alerts = -1": [
        "auditsense.toml:2: alerts.max_alerts: must be 0 to 1000000 alerts, not -1",
    ],
    "[alerts]\nsuppress = -300": [
        "auditsense.toml:2: alerts.suppress: must be a time, such as 30, 30s, 5m or 500ms, not -300",
    ],
    "[alerts]\nsuppress = '25h'": ['auditsense.toml:2: alerts.suppress: must be 0s to 24h, not "25h"'],
    "[source]\nlean = 1": ["auditsense.toml:2: source.lean: must be true or false, not 1"],
    "[source]\nname = 'netlnk'": [
        (
            'auditsense.toml:2: source.name: must be one of "auto", "netlink", "multicast", "audisp", '
            '"unix:PATH", "log:PATH", not "netlnk"; did you mean netlink?'
        )
    ],
    "[source]\naudit_rules = '-w /x'": [
        'auditsense.toml:2: source.audit_rules: must be a list of strings, such as ["…"], not "-w /x"',
    ],
    "[detections]\npaths = [1]": [
        'auditsense.toml:2: detections.paths: must be a list of strings, such as ["…"], not [1]',
    ],
    "[process]\nuser = 'no such user'": [
        "auditsense.toml:2: process.user: there is no user 'no such user'; name an account of this host",
    ],
    '[process]\nuser = "n\\u0000"': [
        "auditsense.toml:2: process.user: must be UTF-8 text of at most 4096 characters, none of them NUL",
    ],
    "[limits]\ndatagram_bytes = 65536\nhit_bytes = 300000": [
        "auditsense.toml:3: limits.hit_bytes: must be 786432 at least, 8 * datagram_bytes + 262144",
    ],
    "[detections]\npaths = ['/nonexistent']": [
        "auditsense.toml:2: detections.paths: /nonexistent: No such file or directory",
    ],
    "[[alerts]]": ["auditsense.toml:1: alerts: must be one table, [alerts]"],
    "source = 1": ["auditsense.toml:1: source: must be one table, [source]"],
    "[alerts]\nmax_alerts = 1\nmax_alerts = 2": ["auditsense.toml:3: cannot overwrite a value"],
    "[alerts]\n[alerts]": ["auditsense.toml:2: cannot declare ('alerts',) twice"],
    "x =": ["auditsense.toml:1: invalid value"],
    'x = """': ["auditsense.toml:1: unterminated string"],
    "# the first hides no other\n[source]\nlean = 1\n[alerts]\nmax_alerts = 'x'\ninterval = '5m'": [
        "auditsense.toml:3: source.lean: must be true or false, not 1",
        'auditsense.toml:5: alerts.max_alerts: must be a whole number, not "x"',
    ],
}


@pytest.mark.parametrize("text", WRONG)
def test_error_is_reported_with_its_line(tmp_path: Path, text: str) -> None:
    errors = problems(tmp_path, text)
    # tomllib words its own errors anew now and then; the line is ours.
    if "tomllib" in text or any(
        word in WRONG[text][0] for word in ("overwrite", "declare", "invalid", "untermin")
    ):
        assert [one.partition(": ")[0] for one in errors] == [one.partition(": ")[0] for one in WRONG[text]]
    else:
        assert errors == WRONG[text]


def test_wrong_audit_rule_is_reported_with_its_line(tmp_path: Path) -> None:
    errors = problems(tmp_path, "[source]\naudit_rules = ['-w /proc/ -p r', '-a never,forever']")
    assert [
        one.startswith("auditsense.toml:2: source.audit_rules: ") and "forever" in one for one in errors
    ] == [True]


def test_check_lists_all_errors_of_files_and_flags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, "[alerts]\nmax_alerts = 'x'\n[source]\nlean = 3\n")
    assert main(["config", "check", "-c", str(file), "--source", "nowhere"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 3
    assert "Traceback" not in output.err
    assert main(["run", "--dry-run", "-c", str(file)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_check_reports_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "-c", str(written(tmp_path, sample()))]) == 0
    assert capsys.readouterr().err.endswith("auditsense.toml; nothing wrong\n")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "a folder, not a file; name a file in it"),
        (os.mkfifo, "not a regular file"),
        (lambda _: None, "No such file or directory"),
        (lambda path: path.write_bytes(b"[alerts]\n\xff"), "not UTF-8 text"),
        (
            lambda path: path.write_bytes(b"\x7fELF\x02\x01\x00"),
            "illegal character|invalid|Invalid|statement",
        ),
        (lambda path: path.write_bytes(b"#" * (MAX_BYTES + 1)), "larger than 1 MiB"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links|Symlink loop"),
        (lambda path: path.write_text("x = " + "[" * 5000), "nested too deeply|line 1"),
    ],
    ids=["a folder", "a FIFO", "nothing", "not UTF-8", "binary", "huge", "a circle of links", "deep"],
)
def test_unreadable_file_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], object], message: str
) -> None:
    file = tmp_path / "given.toml"
    make(file)
    if file.is_file():
        file.chmod(0o644)
    assert main(["config", "check", "-c", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"auditsense: error: {file}")
    assert re.search(message, line), line


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_file_writable_by_others_is_refused_for_all_users(tmp_path: Path, mode: int) -> None:
    file = written(tmp_path, "")
    file.chmod(mode)
    assert [one.partition(" loads")[0].rpartition("; ")[0] for one in load_files([file]).problems] == [
        f"{file}: others may change it"
    ]


@as_root
@pytest.mark.parametrize("what", ["file", "folder"])
def test_root_refuses_files_of_other_users(tmp_path: Path, what: str) -> None:
    file = written(tmp_path, "")
    assert load_files([file]).problems == []
    os.chown(file if what == "file" else tmp_path, UNPRIVILEGED, 0)
    (problem,) = load_files([file]).problems
    assert problem.endswith("user 65534 may change it; root loads only what root alone may write")


@as_root
def test_permission_denied_is_reported(tmp_path: Path) -> None:
    file = written(tmp_path, "")
    file.chmod(0o600)
    os.seteuid(UNPRIVILEGED)
    try:
        errors = load_files([file]).problems
        with pytest.raises(ConfigError, match="Permission denied"):
            config_files(None, Path("/root/nothing"))
    finally:
        os.seteuid(0)
    assert errors == [f"{file}: Permission denied"]


SINKS = """
[[sink]]
type = "file"
path = "/var/log/a.jsonl"
size = "10M"
keep = 3
[[sink]]
type = "syslog"
address = "udp://[::1]:514"
"""


def test_sinks_of_all_files_add_up_in_dump(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, SINKS)
    written(tmp_path / "conf.d", "[[sink]]\ntype = 'journald'\n", "a.toml")
    settings = build_settings(load_config(arguments(), tmp_path))
    assert [str(one) for one in settings.sinks] == [
        "file:/var/log/a.jsonl",
        "syslog:udp://[::1]:514",
        "journald",
    ]
    assert settings.sinks[0] == FileSettings(Path("/var/log/a.jsonl"), 10 << 20, 3)
    assert main(["config", "dump", "-c", str(tmp_path / "auditsense.toml")]) == 0
    again = written(tmp_path, capsys.readouterr().out, "again.toml")
    assert build_settings(load_files([again])).sinks == settings.sinks[:2]
    assert [*keys_needing_restart(build_settings(load_files([])), build_settings(load_files([again])))] == [
        "sink"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[sink]]\npath = '/x'", "auditsense.toml:1: sink: type is missing"),
        ("[sink]\ntype = 'file'", "auditsense.toml:1: sink: must be written as [[sink]]"),
        (SINKS + "[[sink]]\ntype = 'stdot'", "auditsense.toml:11: sink.type: must be one of"),
        (SINKS + "[[sink]]\ntype = 'file'", "auditsense.toml:10: sink: the sink file needs the path"),
        (
            SINKS + "[[sink]]\ntype = 'journald'\nsize = '1M'",
            "auditsense.toml:10: sink: the sink journald has no",
        ),
        (SINKS + "[[sink]]\ntype = 'file'\npath = '/var/log/a.jsonl'", "auditsense.toml:10: sink: file:/var"),
    ],
)
def test_wrong_sink_is_reported_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (line,) = problems(tmp_path, text)
    assert line.startswith(message)


EXCEPTIONS = """
[[exception]]
detection = "pspy"
comment = "ours"
expires = 2099-01-31
match = { "process.executable" = ["/opt/a", "/opt/b"], "user.id" = { number = 0, mask = 1 } }

[[exception]]
detection = "pspy"
comment = "theirs"
expires = "2099-01-31T08:00:00+01:00"
[exception.match]
"process.name" = { like = "col*", is_not = "it's" }
"user.audit.id" = { exists = false }
"""


def test_exceptions_of_all_files_add_up_in_dump(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, EXCEPTIONS)
    one = "[[exception]]\ndetection = 'pspy'\ncomment = 'more'\nmatch = { 'user.id' = '7' }\n"
    more = written(tmp_path / "conf.d", one, "a.toml")
    detection = build_settings(load_config(arguments(), tmp_path)).detections[0]
    assert [(one.comment, one.origin) for one in detection.exceptions] == [
        ("ours", f"{file}:2"),
        ("theirs", f"{file}:8"),
        ("more", f"{more}:1"),
    ]
    assert main(["config", "dump", "-c", str(file)]) == 0
    again = (
        build_settings(load_files([written(tmp_path, capsys.readouterr().out, "again.toml")]))
        .detections[0]
        .exceptions
    )
    assert [replace(one, origin="") for one in again] == [
        replace(one, origin="") for one in detection.exceptions[:2]
    ]
    assert not [*keys_needing_restart(build_settings(load_files([])), build_settings(load_files([file])))]


def test_exceptions_of_configuration_and_files_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = written(tmp_path, EXCEPTIONS.replace("ours", "in another file"), "quiet.toml")
    file = written(tmp_path, EXCEPTIONS + f"[detections]\nexceptions = ['{own}']\nknown_harmless = true\n")
    assert main(["detections", "show", "pspy", "-c", str(file)]) == 0
    shown = json.loads(capsys.readouterr().out)["exceptions"]
    assert [one["comment"] for one in shown[-4:]] == ["in another file", "theirs", "ours", "theirs"]
    assert [one["origin"] for one in shown[-2:]] == [f"{file}:2", f"{file}:8"]
    assert {one["state"] for one in shown} == {"in force"}


_RIGHT = "[[exception]]\ndetection = 'pspy'\ncomment = 'x'\nmatch = { 'user.id' = '7' }\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[exception]]\nmatch = {}\ncomment = 'x'", ":1: exception: detection is missing"),
        ("[[exception]]\ndetection = 'pspy'\ncomment = 'x'", ":1: exception: match is missing"),
        ("[exception]\ndetection = 'pspy'", ":1: exception: must be written as [[exception]]"),
        (
            _RIGHT + _RIGHT.replace("pspy", "psyp"),
            ":5: an exception is of 'psyp', and there is no such detection",
        ),
        (_RIGHT + _RIGHT.replace("'x'", "' '"), ":5: exception: comment must state why"),
        (_RIGHT.replace("user.id", "user.di"), ":1: exception: "),
        (_RIGHT.replace("{ 'user.id' = '7' }", "{}"), ":1: exception: an exception without a condition"),
        (
            _RIGHT.replace("{ 'user.id' = '7' }", "'7'"),
            ":4: exception.match: must be a table of fields, such as {",
        ),
        (_RIGHT.replace("'7'", "7.5"), ":1: exception: match.user.id: expected a string"),
        (_RIGHT + "expires = 7", ":5: exception.expires: must be a date or a time, as 2027-01-31"),
        (_RIGHT + "expires = 08:00:00", ":5: exception.expires: must be a date or a time, as 2027-01-31"),
        (_RIGHT + "expires = 2027-01-31T08:00:00", ":1: exception: expires needs its zone"),
        (_RIGHT + "until = 2027-01-31", ":5: exception.until: there is no such key"),
    ],
)
def test_wrong_exception_is_reported_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (line,) = problems(tmp_path, text)
    assert line.startswith(f"auditsense.toml{message}")


def test_all_errors_of_exceptions_are_reported_at_once(tmp_path: Path) -> None:
    wrong = _RIGHT.replace("'x'", "''") + _RIGHT.replace("pspy", "psyp") + "[alerts]\nmax_alerts = -1\n"
    assert [one.split(": ")[0] for one in problems(tmp_path, wrong)] == [
        "auditsense.toml:10",
        "auditsense.toml:1",
        "auditsense.toml:5",
    ]


# --- where a key stands -----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where", "line"),
    [
        ("[a]\nx = 1", ("a", "x"), 2),
        ("x = 1\n[a]\ny = 1\n[b]\nx = 2", ("b", "x"), 5),
        ("[a]\ny = '''\n[b]\nx = 1\n'''\n[b]\nx = 2", ("b", "x"), 7),
        ("[a]\ny = [\n'x = 1',\n]\nx = 2", ("a", "x"), 5),
        ("[[a]]\nx = 1\n[[a]]\nx = 2", ("a", "x", 1), 4),
        ("[[a]]\n[[a]]\ny = 1", ("a", "", 1), 2),
        ("a.x = 1", ("a", "x"), 1),
        ("a = {x = 1}", ("a", "x"), 1),
        ("[ \"a\" ] # table\n'x' = 1", ("a", "x"), 2),
        ("x = 1", ("", "x"), 1),
        ("[a]", ("b", "x"), 0),
    ],
)
def test_line_of_key_is_found(text: str, where: tuple[Any, ...], line: int) -> None:
    tomllib.loads(text)
    assert Places(text).line_of(*where) == line


# --- what comes out again -----------------------------------------------------------

ASCII = st.characters(max_codepoint=127)
VALUES = {
    ValueType.STRING: st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
    ValueType.BOOLEAN: st.booleans(),
    ValueType.DATETIME: st.one_of(st.dates(), st.datetimes(timezones=st.just(UTC)), st.text(ASCII)),
    ValueType.MATCH: st.dictionaries(
        st.text(ASCII),
        st.recursive(
            st.one_of(st.text(ASCII), st.integers(-(2**63), 2**63 - 1), st.booleans()),
            lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(ASCII), inner)),
            max_leaves=6,
        ),
    ),
}


def values(key: Key) -> st.SearchStrategy[Any]:
    """Return what a key may hold, as `Key.check` gives it."""
    if key.choices:
        return st.sampled_from(key.choices)
    if key.type is ValueType.STRINGS:
        return st.lists(VALUES[ValueType.STRING], max_size=4).map(tuple)
    if key.type in {ValueType.INTEGER, ValueType.DURATION}:
        return st.integers(key.minimum, key.maximum)
    return VALUES[key.type]


@given(st.data())
def test_written_value_parses_to_same_value(data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(KEYS))
    value = data.draw(values(key))
    document = tomllib.loads(f"{key.name} = {key.to_toml(value)}")
    assert key.check(document[key.name]) == value


@given(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text(), max_size=2)
    )
)
def test_any_value_is_valid_or_a_wrong_value_error(value: object) -> None:
    for key in KEYS:
        try:
            kept = key.check(value)
        except WrongValueError as error:
            assert "\n" not in str(error)  # noqa: PT017 - not every value is wrong
        else:
            assert key.check(tomllib.loads(f"x = {key.to_toml(kept)}")["x"]) == kept


def test_dump_loads_to_same_values_and_names_origins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(
        tmp_path, "[alerts]\nsuppress = '90s'\n[source]\naudit_rules = [\"-w /etc/ -p w -k 'x'\"]\n"
    )
    assert main(["config", "dump", "-c", str(file), "--lean", "--self-test", "2.5"]) == 0
    text = capsys.readouterr().out
    assert f'# from {file}:2\nsuppress = "90s"\n' in text
    assert "# from --lean\nlean = true\n" in text
    assert text.count("# from ") == 4
    again = written(tmp_path, text, "again.toml")
    before = build_settings(load_config(arguments("--lean", "--self-test", "2.5", config=file)))
    after = build_settings(load_config(arguments(config=again)))
    assert after.values == before.values
    assert main(["config", "dump", "-c", str(again)]) == 0
    strip = re.compile(r"^# (?:from )?/.*\n|^# from --.*\n", re.MULTILINE)
    assert strip.sub("", capsys.readouterr().out) == strip.sub("", text)


def test_sample_has_every_key_at_its_default(tmp_path: Path) -> None:
    assert (
        build_settings(load_files([written(tmp_path, sample())])).values
        == build_settings(load_files([])).values
    )
    bare = re.sub(r"^# (?=\[\[|\w+ = )", "", sample(), flags=re.MULTILINE)
    document = tomllib.loads(bare)
    for key in KEYS:
        entry = document[key.table][0] if key.table in REPEATED else document[key.table]
        shown = key.default if key.default is not None else key.example
        assert key.check(entry[key.name]) == shown


def test_keys_are_unique_and_defaults_valid() -> None:
    assert len({key.path for key in KEYS}) == len(KEYS)
    for key in KEYS:
        assert key.table in {*TABLES, *REPEATED}
        assert key.description.endswith(".")
        given = key.default if key.default is not None else key.example
        assert key.check(tomllib.loads(f"x = {key.to_toml(given)}")["x"]) == given


def test_flags_of_keys_belong_to_run() -> None:
    arguments_of_run = vars(build_parser().parse_args(["run"]))
    for key in KEYS:
        if key.flag:
            assert arguments_of_run[key.flag.removeprefix("--").replace("-", "_")] in (None, [])


@pytest.mark.parametrize("key", [key for key in KEYS if key.table == "limits"], ids=lambda key: key.name)
def test_bounds_of_limits_match_core(key: Key) -> None:
    one_rule = build_settings(load_files([])).detections
    assert one_rule
    small = {"datagram_bytes": 1024, "key_slots": 16, "event_slots": 16, "small_texts": 16, "large_texts": 4}
    sound = {**small, "hit_bytes": 1 << 20}
    with Ring(RuleTable(), Limits(**{**sound, key.name: key.minimum})):
        pass
    for wrong in (key.minimum - 1, key.maximum + 1):
        with pytest.raises(Exception, match=r"bounds|expected a whole number"):
            Ring(RuleTable(), Limits(**{**sound, key.name: wrong}))


def test_keys_needing_restart_are_named(tmp_path: Path) -> None:
    old = build_settings(load_files([]))
    new = build_settings(
        load_files([written(tmp_path, "[source]\nname = 'netlink'\n[alerts]\nmax_alerts = 3\n")])
    )
    assert [*keys_needing_restart(old, new)] == ["source.name"]


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "0s"), (1, "1ms"), (1500, "1500ms"), (60_000, "1m"), (90_000, "90s")]
)
def test_duration_uses_largest_unit_that_fits(ms: int, text: str) -> None:
    assert duration(ms) == text


def test_reference_equals_docs() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- keys -->\n")[2].partition("<!-- end of keys -->")[0]
    assert shown == reference()


def test_sample_equals_shipped_file() -> None:
    assert (ROOT / "docs" / "auditsense.toml").read_text(encoding="utf-8") == sample()


def test_dump_of_defaults_names_no_origin() -> None:
    assert "# from" not in dump(load_files([]))
