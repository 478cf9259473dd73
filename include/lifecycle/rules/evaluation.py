"""Rules on gates."""

from __future__ import annotations

from include.lifecycle.rules.view import Found, Rule, View


def _attributes_can_be_groups(view: View) -> Found:
    roles = {name: role for role, name in view.roles.items()}
    for path, name in view.texts("evaluation.fairness.attributes"):
        if name in roles:
            yield path, f"{name!r} is data.{roles[name]} and forms no groups"


RULES: tuple[Rule, ...] = (_attributes_can_be_groups,)
