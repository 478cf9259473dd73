"""A fresh process obeys `training.threads`, whichever libraries it has loaded when it starts."""

from __future__ import annotations

import subprocess
import sys

from include.settings import PROJECT_ROOT

CODE = """
import os
os.environ.pop("OMP_NUM_THREADS", None)
from include.lifecycle.training.threads import native_threads
with native_threads(1):
    import lightgbm, sklearn.ensemble
    from threadpoolctl import threadpool_info
    from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
    pools = {pool["user_api"]: pool["num_threads"] for pool in threadpool_info()}
    assert set(pools.values()) == {1}, pools
    assert "openmp" in pools, pools
    assert _openmp_effective_n_threads() == 1
assert "OMP_NUM_THREADS" not in os.environ
"""


def test_nothing_takes_more_threads_than_it_may():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
