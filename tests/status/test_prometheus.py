"""Metrics: the text format, and rules that fire for what they name."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense import cli
from auditsense.sinks.spool_store import SpoolState, SpoolStore
from auditsense.status.prometheus import sensor_metrics, spool_metrics

RULES = Path(__file__).parents[2] / "examples" / "prometheus"
SAMPLE = re.compile(r'auditsense_[a-z_]+(\{([a-z]+="([^"\\\n]|\\\\|\\"|\\n)*",?)+\})? -?[0-9.e+-]+', re.ASCII)
DOCUMENT: dict[str, Any] = {
    "auditsense": "0.1.0",
    "started": 1795504434.5,
    "counters": {"records": 100, "events": 20, "matches": 12, "sequences": 3},
    "detection_counts": [{"id": "pspy", "alerts": 2}, {"id": 'a"\\\nb', "alerts": 0}],
    "alerts": {"alerts": 2, "suppressed": 1},
    "last_record": 1795504435.0,
    "last_alert": None,
    "losses": {"known": 7, "by_cause": {"kernel": 7}},
    "self_test": {"passed": 3, "failed": 1},
    "kernel": {"enabled": 1, "backlog": 0, "backlog_limit": 8192, "lost": 7},
    "source": {"owner": True},
    "sinks": [
        {"name": "spool:/x", "written": 2, "dropped": 0, "failed": 0, "queued_bytes": 0, "problem": "full"}
    ],
    "process": {"cpu_s": 0.5, "memory_peak_bytes": 1000},
}


def samples(text: str) -> dict[str, str]:
    """Return the samples of a text; each line must be one, or a help or type line before its samples."""
    found = {}
    typed = ""
    for line in text.split("\n"):
        if line.startswith("# "):
            typed = line.split(" ")[2]
            continue
        assert SAMPLE.fullmatch(line), line
        name, _, value = line.rpartition(" ")
        assert name.partition("{")[0] == typed
        assert name not in found
        found[name] = value
    return found


def test_document_becomes_metrics() -> None:
    found = samples(sensor_metrics(DOCUMENT))
    assert found["auditsense_up"] == "1"
    assert found["auditsense_records_total"] == "100"
    assert found['auditsense_detection_alerts_total{detection="pspy"}'] == "2"
    assert found[r'auditsense_detection_alerts_total{detection="a\"\\\nb"}'] == "0"
    assert found["auditsense_lost_total"] == "7"
    assert found['auditsense_self_tests_total{result="failed"}'] == "1"
    assert found["auditsense_owns_socket"] == "1"
    assert found['auditsense_sink_failing{sink="spool:/x"}'] == "1"
    assert found['auditsense_sink_documents_total{sink="spool:/x",outcome="written"}'] == "2"
    assert "auditsense_last_alert_timestamp_seconds" not in found


def test_no_sensor_is_a_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[status]\nsocket = "{tmp_path / "none"}"\n')
    assert cli.main(["status", "--prometheus", "-c", str(config)]) == 0
    out, err = capsys.readouterr()
    assert samples(out.rstrip("\n")) == {"auditsense_up": "0"}
    assert err.startswith("auditsense: ")


@given(absent=st.sets(st.sampled_from([*DOCUMENT])), null=st.booleans())
def test_absent_fields_have_no_metric(absent: set[str], *, null: bool) -> None:
    document = {name: value for name, value in DOCUMENT.items() if name not in absent}
    document |= dict.fromkeys(absent) if null else {}
    samples(sensor_metrics(document))


def test_spool_has_metrics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = samples(spool_metrics("/x", SpoolState(5, 1, 4096, {"delivered": 3})))
    assert found['auditsense_spool_documents{spool="/x"}'] == "5"
    assert found['auditsense_spool_delivered_total{spool="/x"}'] == "3"
    assert found['auditsense_spool_refused_total{spool="/x"}'] == "0"
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o700)
    SpoolStore(folder).close()
    assert cli.main(["ship", "--spool", str(folder), "--prometheus"]) == 0
    assert (
        samples(capsys.readouterr().out.rstrip("\n"))[f'auditsense_spool_documents{{spool="{folder}"}}']
        == "0"
    )


def promtool(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    return subprocess.run(
        [program, *words], input=text, capture_output=True, text=True, timeout=300, check=False, cwd=RULES
    )


def test_promtool_accepts_metrics() -> None:
    result = promtool("check", "metrics", text=sensor_metrics(DOCUMENT) + "\n")
    assert (result.returncode, result.stderr) == (0, "")


def test_rules_fire_for_the_behaviour_they_name() -> None:
    assert promtool("check", "rules", "auditsense.rules.yml").returncode == 0
    result = promtool("test", "rules", "auditsense.rules.test.yml")
    assert result.returncode == 0, result.stdout + result.stderr


def test_rules_use_metrics_that_exist() -> None:
    text = (RULES / "auditsense.rules.yml").read_text(encoding="utf-8")
    used = set(re.findall(r"auditsense_[a-z_]+", text)) - {"auditsense_"}
    exported = sensor_metrics(DOCUMENT) + spool_metrics("/x", SpoolState(0, 0, 0, {}))
    assert used <= set(re.findall(r"auditsense_[a-z_]+", exported))
