"""`cli release`: a misspelled model is an error, a version that is not held an answer."""

from __future__ import annotations

from include.lifecycle.cli import main


def test_a_model_that_does_not_exist_and_a_version_that_is_not_held(rt, capsys):
    assert main(["release", "flight_delai", "3", "--reason", "seen"], settings=rt.settings) == 2
    assert "no model 'flight_delai'" in (err := capsys.readouterr().err)
    assert "did you mean 'flight_delay'?" in err
    assert main(["release", "flight_delay", "3", "--reason", "seen"], settings=rt.settings) == 1
    assert "flight_delay" in capsys.readouterr().err
    assert rt.ledger.read("flight_delai") == []
