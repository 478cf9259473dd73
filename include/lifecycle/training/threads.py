"""Native threads of a training: `training.threads`, and not one more, whatever was imported before or is imported later.

threadpoolctl limits only libraries that are loaded already, so scikit-learn's OpenMP is loaded first; what is loaded later (by an
own training function) reads the environment. Without it two workers fight over two cores, and a fit takes ten times as long.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def native_threads(threads: int) -> Iterator[None]:
    """Run the block with at most `threads` native threads in each library."""
    import sklearn.ensemble  # noqa: F401 - loads its OpenMP
    from threadpoolctl import threadpool_limits

    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(dict.fromkeys(_VARIABLES, str(threads)))
    try:
        with threadpool_limits(threads):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
