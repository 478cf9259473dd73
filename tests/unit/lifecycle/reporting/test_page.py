"""Tiles and charts of a page: what a value holds is text in both forms, and every number is told in Markdown, too."""

from __future__ import annotations

from include.lifecycle.reporting.page import Charts, Part, Tile, Tiles, to_html, to_markdown

PARTS = [
    Part(
        "Summary",
        [
            Tiles([Tile("Health", "0.58", "mean <b>", "bad"), Tile("Cost", "5 USD")]),
            Charts([("Health", "<svg><title>Health</title></svg>")]),
        ],
    )
]


def test_html():
    page = to_html("Weekly <i>", PARTS)
    assert "<h1>Weekly &lt;i&gt;</h1>" in page
    assert '<div class="tile bad">Health<b>0.58</b><i>mean &lt;b&gt;</i></div>' in page
    assert '<div class="tile none">Cost<b>5 USD</b><i></i></div>' in page
    assert '<div class="charts"><svg>' in page


def test_markdown():
    text = to_markdown("Weekly", PARTS)
    assert "- Health: 0.58 (mean \\<b\\>)" in text
    assert "- Cost: 5 USD" in text
    assert "(Health: see the HTML page)" in text
    assert "<svg" not in text
