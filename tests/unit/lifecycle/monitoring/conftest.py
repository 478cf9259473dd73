"""One profile for all of monitoring's unit tests."""

from __future__ import annotations

import pytest

from tests.unit.lifecycle.monitoring.examples import make_profile, make_spec


@pytest.fixture(scope="session")
def profile():
    return make_profile()


@pytest.fixture(scope="session")
def spec():
    return make_spec()
