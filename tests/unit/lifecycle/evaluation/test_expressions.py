"""User expressions: right per row, and shut in."""

from __future__ import annotations

import numpy as np
import pytest

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.evaluation.expressions import numbers_of, rows_where, scored_table
from tests.unit.lifecycle.evaluation.cases import spec_of, trips

FRAME, P = trips(5, 20)
TABLE = scored_table(spec_of(), FRAME, FRAME["late"].to_numpy(dtype=float), P)


def test_values_keep_the_rows_order() -> None:
    found = numbers_of(TABLE, "CASE WHEN decision = 1 AND label = 0 THEN -5 ELSE wind END", "here")
    wanted = np.where((P >= 0.5) & (FRAME["late"] == 0), -5, FRAME["wind"])
    np.testing.assert_allclose(found, wanted)
    np.testing.assert_array_equal(rows_where(TABLE, "carrier = 'UA' -- the comment ends here", "here"), FRAME["carrier"] == "UA")


def test_null_is_no_value_and_no_member() -> None:
    table = TABLE.assign(carrier=None)
    assert np.isnan(numbers_of(table, "CASE WHEN carrier = 'UA' THEN 1 END", "here")).all()
    assert not rows_where(table, "carrier = 'UA'", "here").any()


@pytest.mark.parametrize(
    "expression",
    [
        "(SELECT count(*) FROM read_csv('/etc/passwd'))",
        "(SELECT content FROM read_text('/etc/passwd'))",
        "(SELECT count(*) FROM '/etc/passwd')",
        "1) FROM scored; COPY scored TO '/tmp/stolen.csv'; SELECT (1",
        "getenv('HOME')",
        "nothing_like_this + 1",
        "1, 2",
        "",
        "sum(wind)",
    ],
)
def test_what_is_not_allowed_or_wrong_is_told_with_its_key(expression: str) -> None:
    with pytest.raises(SpecInvalidError, match=r"evaluation\.business\.expression"):
        numbers_of(TABLE, expression, "evaluation.business.expression")


def test_settings_cannot_be_reopened() -> None:
    with pytest.raises(SpecInvalidError):
        numbers_of(TABLE, "1) AS value FROM scored; SET enable_external_access = true; SELECT (1", "here")


def test_several_classes_are_seen_by_name() -> None:
    spec = spec_of("multiclass_classification")
    p = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]])
    table = scored_table(spec, FRAME.head(2), np.array([1.0, 2.0]), p)
    assert rows_where(table, "prediction = 'late' AND label = 'late' AND probability_late > 0.6", "here").tolist() == [
        True,
        False,
    ]
