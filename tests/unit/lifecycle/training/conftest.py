"""One native thread for every test here, as a training worker has: idle OpenMP threads would spin on a busy machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import lightgbm  # noqa: F401 - its OpenMP must be loaded to be limited
    import sklearn.ensemble  # noqa: F401

    with threadpool_limits(1):
        yield
