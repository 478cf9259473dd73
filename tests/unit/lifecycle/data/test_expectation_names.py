"""The table of expectations equals the pinned library's, and tells what is wrong with a name or an argument."""

from __future__ import annotations

import pytest

from include.lifecycle.data.expectation_names import TABLE_FILE, expectation_table, installed_table, problems_of, table_text

BETWEEN = "expect_column_values_to_be_between"


def test_the_table_is_the_installed_librarys():
    assert TABLE_FILE.read_text() == table_text(installed_table())
    assert len(expectation_table()) > 50


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        (BETWEEN, {"column": "a", "min_value": 1, "mostly": 0.9}, []),
        (BETWEEN, {"column": "a", "min_value": "2020-01-01"}, []),
        (BETWEEN, {"column": "a", "min_value": None}, []),
        ("expect_column_values_to_be_betwen", {}, ["unknown expectation"]),
        (BETWEEN, {"colum": "a"}, ["no argument 'colum'; did you mean 'column'", "needs the argument 'column'"]),
        (BETWEEN, {"column": 3}, ["column is 3; allowed: string"]),
        (BETWEEN, {"column": "a", "mostly": 90}, ["mostly is 90; allowed: 0 to 1"]),
        (BETWEEN, {"column": "a", "mostly": "most"}, ["mostly is 'most'; allowed: number or object"]),
        (BETWEEN, {"column": "a", "strict_min": 1}, ["strict_min is 1; allowed: boolean or object"]),
        (BETWEEN, {"column": "a", "severity": "dire"}, ["allowed: critical, info, warning"]),
        ("expect_column_values_to_be_in_set", {"column": "a"}, ["needs the argument 'value_set'"]),
    ],
)
def test_problems_are_named(name, arguments, told):
    found = [text for _, text in problems_of(name, arguments)]
    assert len(found) == len(told)
    for text, part in zip(found, told, strict=True):
        assert part in text
