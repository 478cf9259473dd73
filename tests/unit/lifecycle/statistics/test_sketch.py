"""The sketch: quantiles within the stated error, whatever the values and however they were merged."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from include.lifecycle.statistics.sketch import RELATIVE_ERROR, Sketch

VALUES = st.lists(st.floats(1, 1e8), min_size=1, max_size=60)


@given(VALUES, st.floats(0, 1))
def test_quantiles_are_within_the_relative_error(values, share):
    exact = sorted(values)[int(share * (len(values) - 1))]
    assert Sketch().plus(values).quantile(share) == pytest.approx(exact, rel=RELATIVE_ERROR + 1e-9)


@given(VALUES, VALUES)
def test_merging_is_as_adding_at_once(some, others):
    both = Sketch().plus(some).merged(Sketch().plus(others))
    assert both == Sketch().plus(some + others)
    assert both.total == len(some) + len(others)


def test_nothing_has_no_quantile():
    assert Sketch().plus([]).quantile(0.5) is None
    assert Sketch().plus([-3.0, 0.0, 1.0]).quantile(0.99) == 1.0


def test_memory_stays_bounded_and_json_plain():
    sketch = Sketch().plus(list(np.random.default_rng(1).lognormal(9, 1, 50_000)))
    assert len(sketch.counts) < 250
    adapter = TypeAdapter(Sketch)
    assert adapter.validate_python(json.loads(adapter.dump_json(sketch))) == sketch
