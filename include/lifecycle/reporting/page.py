"""A page as data (titles, paragraphs, lists, tables, tiles, charts) and its forms, Markdown and HTML.

The model card and the periodic reports are written through it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|])")
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}"
    "table{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}"
    "th,td{border:1px solid #d0d7de;padding:.35rem .7rem;text-align:left;vertical-align:top}th{background:#f6f8fa}"
    "h2{border-bottom:1px solid #d0d7de;padding-bottom:.3rem}"
    ".tiles{display:flex;flex-wrap:wrap;gap:.8rem;margin:1rem 0}.tile{border:1px solid #d0d7de;border-left:5px solid #8c959f;"
    "padding:.4rem .9rem;min-width:8.5rem}.tile b{display:block;font-size:1.5rem;line-height:1.3}.tile i{font-size:.8rem;"
    "color:#57606a;font-style:normal;display:block;max-width:13rem}.good{border-left-color:#1a7f37}"
    ".warning{border-left-color:#bf8700}.bad{border-left-color:#cf222e}.charts{display:flex;flex-wrap:wrap;gap:1rem}"
    ".charts svg{max-width:100%;height:auto}"
)
Mood = Literal["good", "warning", "bad", "none"]


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of plain texts."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Plain texts in rows, each as long as `head`."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Tile:
    """One number that a reader looks for first: what it is, the number with its unit, a word on it, and how good it is."""

    label: str
    value: str
    note: str = ""
    mood: Mood = "none"


@dataclass(frozen=True)
class Tiles:
    """Numbers side by side."""

    items: Sequence[Tile]


@dataclass(frozen=True)
class Charts:
    """SVG texts of our own making (evaluation/plots.py escapes what they say), each with its title for readers of text."""

    items: Sequence[tuple[str, str]]


Block = Paragraph | Bullets | Table | Tiles | Charts


@dataclass(frozen=True)
class Part:
    """One titled part of a page."""

    title: str
    blocks: Sequence[Block]


def to_markdown(title: str, parts: Sequence[Part]) -> str:
    """The page as GitHub-flavoured Markdown; text is escaped, so a value can never become markup."""
    lines = [f"# {_plain(title)}", ""]
    for part in parts:
        lines += [f"## {_plain(part.title)}", ""]
        for block in part.blocks:
            lines += [*_markdown(block), ""]
    return "\n".join(lines)


def to_html(title: str, parts: Sequence[Part]) -> str:
    """The page as one HTML file without scripts or outside resources; text is escaped."""
    body = [f"<h1>{escape(title)}</h1>"]
    for part in parts:
        body.append(f"<h2>{escape(part.title)}</h2>")
        body += [_html(block) for block in part.blocks]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(body) + "\n</body></html>\n"


def _markdown(block: Block) -> list[str]:
    if isinstance(block, Paragraph):
        return [_plain(block.text)]
    if isinstance(block, Bullets):
        return [f"- {_plain(item)}" for item in block.items]
    if isinstance(block, Tiles):
        return [f"- {_plain(_told(tile))}" for tile in block.items]
    if isinstance(block, Charts):
        return [f"({_plain(', '.join(title for title, _ in block.items))}: see the HTML page)"]
    rows = [block.head, ["---"] * len(block.head)]
    head = [f"| {' | '.join(map(_plain, block.head))} |", f"| {' | '.join(rows[1])} |"]
    return head + [f"| {' | '.join(map(_plain, row))} |" for row in block.rows]


def _html(block: Block) -> str:
    if isinstance(block, Paragraph):
        return f"<p>{escape(block.text)}</p>"
    if isinstance(block, Bullets):
        return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in block.items)}</ul>"
    if isinstance(block, Tiles):
        return f'<div class="tiles">{"".join(map(_tile, block.items))}</div>'
    if isinstance(block, Charts):
        return f'<div class="charts">{"".join(svg for _, svg in block.items)}</div>'
    head = "".join(f"<th>{escape(cell)}</th>" for cell in block.head)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in block.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _tile(tile: Tile) -> str:
    return f'<div class="tile {tile.mood}">{escape(tile.label)}<b>{escape(tile.value)}</b><i>{escape(tile.note)}</i></div>'


def _told(tile: Tile) -> str:
    return f"{tile.label}: {tile.value}{f' ({tile.note})' if tile.note else ''}"


def _plain(text: str) -> str:
    """One line of text whose own signs mean nothing in Markdown."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
