"""What the doors for other systems (Alertmanager, MLflow) share: a body of bounded size, and the check of a bearer token."""

import logging

from fastapi import HTTPException, Request

from include.lifecycle.errors import SettingsError
from include.lifecycle.rollout.ways_back.alerts import AlertRefusedError, check_token
from include.lifecycle.runtime import runtime

log = logging.getLogger(__name__)


async def read_body(request: Request, largest: int) -> bytes:
    """The request's body; 413 as soon as it has more than `largest` bytes, the rest unread."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > largest:
            raise HTTPException(413, f"allowed: at most {largest} bytes")
    return bytes(body)


def check_bearer(authorization: str | None) -> None:
    """Return when the header holds the alerts' token; 401 without one, 403 for a wrong one, 503 when none is set up here."""
    try:
        check_token(runtime().settings.alert_secret, authorization)
    except AlertRefusedError as problem:
        log.warning("alerts refused: %s", problem)
        raise HTTPException(401 if problem.unsigned else 403, "a bearer token is asked for, and the right one") from None
    except SettingsError as problem:
        log.error("alerts not taken: %s", problem)
        raise HTTPException(503, "not taken; send it again") from None
