"""Shadows under live traffic: real Envoy, real servers' logs; no client meets one, and its agreement decides what follows."""

from pathlib import Path

import pytest

from include.lifecycle.rollout.judging import shadow
from include.lifecycle.rollout.shadowing import reader
from tests.integration.strategy_lab import MODEL
from tests.integration.visitors import LoggingLab, verdict_of, visitors

pytestmark = pytest.mark.integration
SHADOW = {"mirror": 100, "at_least": "500ms", "pairs": 150, "minimum_agreement": 0.9}


@pytest.fixture
def lab(stack, make_runtime, monkeypatch):
    """`lab(right=...)`: a LoggingLab whose champion serves, with a candidate that is right so often."""
    monkeypatch.setattr(reader, "EVERY", 0.3)
    made = []

    def build(**behaviour):
        lab = LoggingLab(make_runtime(**stack.environment), stack.port, 1, behaviour)
        made.append(lab)
        lab.serve_champion()
        return lab

    yield build
    shadow._readers.clear()
    for one in made:
        one.clear()


def test_a_shadow_that_agrees_leads_to_the_canary(lab):
    lab = lab(right=0.78)
    with visitors(lab) as clients:
        outcome = lab.drive(lab.plan("shadow", shadow=SHADOW | {"then": "canary"}))
    assert (outcome.state, lab.aliases["champion"]) == ("promoted", 8)
    assert clients.failed == 0, clients.problems[:5]
    first = next(split for split in lab.seen if 8 in split or split == {7: 100})
    assert first.get(8, 0) == 0
    entries = [
        row for row in lab.rt.ledger.read(MODEL, kind="rollout") if row["act"] == "shift_traffic" and row["phase"] == "intended"
    ]
    (agreement,) = [one for row in entries for one in row["evidence"]["verdicts"] if one["check"] == "agreement"]
    assert agreement["outcome"] == "pass"
    assert agreement["evidence"]["agreed"] / agreement["evidence"]["pairs"] == pytest.approx(0.97, abs=0.03)
    page = Path(agreement["evidence"]["report"]).read_text()
    assert "It agrees enough." in page
    print(f"shadow: {agreement['reason']}")


def test_a_shadow_that_disagrees_ends_and_no_client_met_it(lab):
    lab = lab(right=0.25)
    with visitors(lab) as clients:
        outcome = lab.drive(lab.plan("shadow", shadow=SHADOW))
    assert outcome.state == "rolled_back"
    assert "agreement fail" in outcome.reason
    assert (set(clients.assigned), clients.failed) == ({"7"}, 0)
    outcome, evidence = verdict_of(lab, "roll_back", "agreement")
    assert (outcome, evidence["rank_shift"]["spearman"] < 0.7) == ("fail", True)
    assert lab.servers() == ({7: 1}, 0)
