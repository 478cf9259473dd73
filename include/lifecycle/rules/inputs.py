"""Rules on what monitoring asks of inputs."""

from __future__ import annotations

from include.lifecycle.rules.view import Found, Rule, View, number

WEEK_SECONDS = 7 * 86_400


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


_SEASONAL = {"monitoring.drift.numeric": "wasserstein", "monitoring.drift.categorical": "jensen_shannon"}
_WITHIN = (
    ("monitoring.seasonal.minimum_windows", "monitoring.seasonal.weeks"),
    ("monitoring.creep.minimum_weeks", "monitoring.creep.weeks"),
)


def _a_season_can_be_measured(view: View) -> Found:
    """`seasonal` promises more than `auto`, so what would keep training as the reference is refused."""
    if view.get("monitoring.reference") != "seasonal":
        return
    path = ("monitoring", "reference")
    for key, needed in _SEASONAL.items():
        if view.get(key) != needed:
            yield path, f"got seasonal with {key}: {view.get(key)}; the season is measured by {needed} (or use auto)"
    if view.get("monitoring.window_by") != "time":
        yield path, "got seasonal with monitoring.window_by other than time; such windows have no hours of the week (or use auto)"


def _weeks_hold_what_is_asked(view: View) -> Found:
    for few, many in _WITHIN:
        asked, held = number(view.get(few)), number(view.get(many))
        if asked is not None and held and asked > held:
            path = view.blamed(tuple(few.split(".")), tuple(many.split(".")))
            yield path, f"{few} is {asked:g}, and {many} {held:g}: there could never be enough"
    weeks = max(number(view.get(many)) or 0 for _, many in _WITHIN)
    kept = number(view.get("monitoring.keep_counts"))
    if kept is not None and kept < weeks * WEEK_SECONDS:
        path = view.blamed(("monitoring", "keep_counts"), ("monitoring", "seasonal", "weeks"))
        yield path, f"monitoring.keep_counts is shorter than the {weeks:g} weeks that references are made of"


RULES: tuple[Rule, ...] = (_roles_are_of_watched_features, _a_season_can_be_measured, _weeks_hold_what_is_asked)
