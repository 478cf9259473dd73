"""What a person says when starting a run is read strictly."""

from __future__ import annotations

from typing import Any

import pytest

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.training.conf import read_conf
from tests.unit.lifecycle.training.spec_for_tests import make_spec


def test_nothing_said_means_the_defaults():
    read = read_conf({"reason": "", "trials": None}, make_spec())
    assert (read.reason, read.trials, read.force) == (None, None, False)


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"trails": 3}, "unknown key 'trails'; did you mean 'trials'"),
        ({"trials": 0}, "trials: got 0: Input should be greater than or equal to 1"),
        ({"trials": 1001}, "trials: got 1001; allowed: 1 to 1000"),
        ({"trials": "many"}, "trials: got 'many'"),
        ({"method": "fresh"}, "method 'fresh' is not available; allowed: full, incremental"),
        ({"force": "perhaps"}, "force: got 'perhaps'"),
    ],
)
def test_wrong_words_are_explained(conf: dict[str, Any], message: str):
    with pytest.raises(SpecInvalidError, match=f"model trips, conf of the run: {message}"):
        read_conf(conf, make_spec())


def test_what_the_yaml_says_may_be_asked_for():
    assert read_conf({"trials": 2000}, make_spec(training={"trials": 2000})).trials == 2000
