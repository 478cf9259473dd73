"""A page as data (titles, paragraphs, lists, tables) and its forms, Markdown and HTML; the model card is written through it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|])")
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}"
    "table{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}"
    "th,td{border:1px solid #d0d7de;padding:.35rem .7rem;text-align:left;vertical-align:top}th{background:#f6f8fa}"
    "h2{border-bottom:1px solid #d0d7de;padding-bottom:.3rem}"
)


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


Block = Paragraph | Bullets | Table


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
    rows = [block.head, ["---"] * len(block.head)]
    head = [f"| {' | '.join(map(_plain, block.head))} |", f"| {' | '.join(rows[1])} |"]
    return head + [f"| {' | '.join(map(_plain, row))} |" for row in block.rows]


def _html(block: Block) -> str:
    if isinstance(block, Paragraph):
        return f"<p>{escape(block.text)}</p>"
    if isinstance(block, Bullets):
        return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in block.items)}</ul>"
    head = "".join(f"<th>{escape(cell)}</th>" for cell in block.head)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in block.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _plain(text: str) -> str:
    """One line of text whose own signs mean nothing in Markdown."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
