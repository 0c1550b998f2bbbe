"""Which cases of a test run every time, and which with `pytest -m slow` alone."""

from collections.abc import Iterable

import pytest


def slow_but(quick: Iterable, cases: Iterable) -> list:
    """The cases of a test: all are slow but those in `quick`."""
    kept = list(quick)
    return [case if case in kept else pytest.param(case, marks=pytest.mark.slow) for case in cases]
