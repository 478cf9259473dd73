"""Edges of the keys about reports: what is taken, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.unit.lifecycle.monitoring.examples import make_spec


@pytest.mark.parametrize(
    "changes",
    [
        {"monitoring": {"report": "each", "report_keep": 1, "report_rows": 1, "workspace": True}},
        {"monitoring": {"report": "off"}},
        {"reports": {"kinds": [], "keep": 1}},
        {"reports": {"goals": {"availability": 1.0, "pipeline_success": 0.0}}},
        {"reports": {"prices": {"currency": "toman", "training_hour": 0.0, "serving_hour": 0.0, "monthly_budget": 0.0}}},
    ],
)
def test_taken(changes):
    assert make_spec(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"monitoring": {"report": "sometimes"}},
        {"monitoring": {"report_keep": 0}},
        {"monitoring": {"workspace": "yes"}},
        {"reports": {"kinds": ["yearly"]}},
        {"reports": {"keep": 0}},
        {"reports": {"goals": {"availability": 99.9}}},
        {"reports": {"prices": {"currency": "US $"}}},
        {"reports": {"prices": {"training_hour": -0.1}}},
        {"reports": {"prices": {"monthly_budget": -1.0}}},
    ],
)
def test_refused(changes):
    with pytest.raises(ValidationError):
        make_spec(**changes)
