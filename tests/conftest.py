"""Shared setup: hypothesis profiles, the fault table, signals and marks of started processes."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support.faults import fault, pytest_configure
from tests.support.faults import pytest_addoption as add_fault_options
from tests.support.processes import mark_run, restore_signals
from tests.support.readable_package import use_readable_package
from tests.support.schema import MAKERS, checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditsense import Document

__all__ = ["every_document_is_valid", "fault", "pytest_addoption", "pytest_configure"]

TESTS = Path(__file__).parent

use_readable_package()  # before anything of it is imported
restore_signals()  # before anything is started
mark_run()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests that produce a page of docs/ write it."""
    add_fault_options(parser)
    parser.addoption("--write-docs", action="store_true", help="write docs/conformance.md")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Read no test that the marker leaves out: for a run of all tests, or of all live tests."""
    if [config.rootpath / argument for argument in config.args] != [TESTS] or collection_path.parent != TESTS:
        return None
    chosen = config.option.markexpr
    is_live = collection_path.name == "live"
    return True if (is_live and chosen == "not live") or (not is_live and chosen == "live") else None


@pytest.fixture(autouse=True, scope="session")
def every_document_is_valid() -> Iterator[None]:
    """Compare every document that any test of this process makes with the schema, where it is made."""
    with pytest.MonkeyPatch.context() as patch:
        for module, names in MAKERS.items():
            for name in names:
                made: Callable[..., Document] = getattr(importlib.import_module(module), name)
                patch.setattr(f"{module}.{name}", checked(made))
        yield


# No test asserts a time, and a busy machine is no reason to fail: hence no deadline.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", _PATIENT, max_examples=50)
settings.register_profile("ci", _PATIENT, max_examples=25, print_blob=True)
settings.register_profile("expensive", _PATIENT, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
