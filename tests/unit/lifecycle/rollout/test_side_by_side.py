"""The serving check refuses a version that cannot be asked beside the champion, and says which columns stand in the way."""

from dataclasses import replace

import pytest

from include.lifecycle.rollout.before_traffic.serving_check import check_side_by_side
from include.serving.version_folder import SERVING, InputColumn
from tests.unit.lifecycle.rollout.test_machine import plan_of
from tests.unit.lifecycle.rollout.test_request_schema import CHAMPION, changed


@pytest.fixture
def checked(rt, world):
    """The verdict on a version 8 with this serving spec, under a plan with these changes."""

    def check(spec, **changes):
        folders = {7: world.materialise(rt, "churn", 7)[0], 8: world.materialise(rt, "churn", 8)[0]}
        (folders[7] / SERVING).write_text(CHAMPION.to_json())
        (folders[8] / SERVING).write_text(spec.to_json())
        return check_side_by_side(rt, world.hands(), plan_of(**changes), folders[8])

    return check


def test_other_columns_are_refused_by_name(checked):
    verdict = checked(changed(InputColumn("age", "numeric"), InputColumn("income", "numeric")))
    assert verdict.failed
    assert "version 8 cannot be asked beside champion 7: income is not sent to the champion; plan is unknown" in verdict.reason
    assert "strategy direct" in verdict.reason


def test_the_same_columns_pass(checked):
    assert checked(changed()) is None


@pytest.mark.parametrize("changes", [{"stages": [], "strategy": "direct"}, {"champion": None, "stages": []}])
def test_a_version_that_gets_all_requests_at_once_may_have_its_own(checked, changes):
    assert checked(replace(changed(), inputs=()), **changes) is None
