"""Rules on the prediction log: what it may hold must fit what a server may be asked."""

from __future__ import annotations

from include.lifecycle.rules.view import Found, Rule, View, number


def _the_largest_request_fits(view: View) -> Found:
    """Rows of a request are kept together: one that is larger than the whole buffer would never be logged."""
    buffer, largest = number(view.get("prediction_log.buffer_rows")), number(view.get("server.max_rows"))
    if buffer is not None and largest is not None and buffer < largest:
        path = view.blamed(("prediction_log", "buffer_rows"), ("server", "max_rows"))
        if path[0] == "server":
            allowed = f"at most prediction_log.buffer_rows, which is {buffer:.0f}: a larger request would never be logged"
            yield path, f"got {largest:.0f}; allowed: {allowed}"
        else:
            allowed = f"at least server.max_rows, which is {largest:.0f}: a larger request would never be logged"
            yield path, f"got {buffer:.0f}; allowed: {allowed}"


RULES: tuple[Rule, ...] = (_the_largest_request_fits,)
