"""Rules on what monitoring asks of inputs."""

from __future__ import annotations

from include.lifecycle.rules.view import Found, Rule, View


def _roles_are_of_watched_features(view: View) -> Found:
    features = {name for _, name in view.features}
    columns = view.get("columns")
    for name, special in columns.items() if isinstance(columns, dict) else ():
        if not isinstance(special, dict) or special.get("role") not in ("population", "equipment"):
            continue
        path = ("columns", name, "role")
        if name not in features:
            yield path, f"{name!r} is no feature; the prediction log holds features only, so nothing of it could be watched"
        elif special.get("drift") == "ignore":
            yield path, f"the drift of {name!r} is ignored (columns.{name}.drift), so it would never raise a signal"


RULES: tuple[Rule, ...] = (_roles_are_of_watched_features,)
