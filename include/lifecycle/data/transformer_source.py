"""What a transformer's source may be, told by reading it: lint and prepare_data ask before anything is executed."""

from __future__ import annotations

import ast


def source_problem(text: str, function: str) -> str | None:
    """What is wrong with a transformer's source, or None: it must define the function and import nothing of this project.

    What it imported from here would not be part of the version.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as problem:
        return f"line {problem.lineno}: {problem.msg}"
    if not any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body):
        return f"it defines no function {function!r}"
    for node in ast.walk(tree):
        names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = ["include"] if node.level else [node.module or ""]
        if any(name.split(".")[0] in ("include", "modelops", "dags", "plugins") for name in names):
            return f"line {node.lineno}: it imports code of this project, which a version does not hold; allowed: packages"  # type: ignore[attr-defined]
    return None
