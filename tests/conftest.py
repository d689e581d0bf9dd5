"""What all tests share: how hard hypothesis tries."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    import pytest

# No test asserts a time, and a busy machine is no reason to fail: hence no deadline.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", _PATIENT, max_examples=50)
settings.register_profile("ci", _PATIENT, max_examples=250, print_blob=True)
settings.register_profile("expensive", _PATIENT, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests that produce a page of docs/ write it."""
    parser.addoption("--write-docs", action="store_true", help="write the generated pages of docs/")
