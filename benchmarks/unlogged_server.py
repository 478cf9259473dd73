"""The model server with a prediction log that keeps nothing: what the log costs is the difference to the real one."""

from __future__ import annotations

import sys

from include.serving.prediction_log import Answer, PredictionLog
from include.serving.server import main


def _forget(_log: PredictionLog, _answer: Answer) -> None:
    """Keep nothing."""


if __name__ == "__main__":
    PredictionLog.append = _forget  # type: ignore[method-assign]
    sys.exit(main())
