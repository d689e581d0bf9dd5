"""The audit rules that `run` adds, and those that are enough where it can add none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.cli.audit_rules import audit_rules_needed, audit_rules_of_run
from auditsense.config.loader import ConfigValue, LoadedConfig
from auditsense.config.settings import build_settings
from auditsense.detections.derive import derive
from auditsense.sources import factory

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from auditsense.detections.derive import Derivation
    from auditsense.detections.event_table import EventMapping
    from auditsense.detections.model import Detection


def test_both_sets_of_rules_of_a_run_are_derived_once(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = build_settings(LoadedConfig())
    wanted = audit_rules_needed(settings), audit_rules_needed(settings, optional=True)
    assert wanted[0] != wanted[1]
    derived = []

    def counted(detections: Sequence[Detection], *, mapping: EventMapping) -> Derivation:
        derived.append(detections)
        return derive(detections, mapping=mapping)

    monkeypatch.setattr(factory, "derive", counted)
    assert audit_rules_of_run(settings) == wanted
    assert len(derived) == 1


def test_configured_rules_of_a_run_are_both_sets() -> None:
    rule = "-w /etc -p w"
    config = LoadedConfig(values={"source.audit_rules": ConfigValue([rule], "")})
    assert audit_rules_of_run(build_settings(config)) == ([rule], [rule])
