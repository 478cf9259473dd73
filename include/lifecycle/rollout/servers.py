"""Ready servers of a version, from what is known of it: files that are here need no registry, damaged ones are fetched again.

Drivers and the ways back come here: traffic must find its way back while the registry is down.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from include.lifecycle.errors import GateFailedError
from include.lifecycle.rollout.gateway.traffic import Server
from include.lifecycle.rollout.hands import Hands
from include.lifecycle.runtime import Runtime

log = logging.getLogger(__name__)


def ready_servers(
    rt: Runtime, hands: Hands, model: str, version: int, known: Server | None, count: int, *, check: Callable[[], None]
) -> Server:
    """Have `count` ready servers; `known` is what the desired traffic says of the version, `check` may refuse before each start.

    Raises GateFailedError when they do not start from freshly fetched files either; SourceUnavailableError when those are needed
    and the registry does not answer.
    """

    def started(folder: Path, digest: str) -> Server:
        check()
        logs = rt.storage.predictions(model)
        ports = hands.target.ensure_server(model, version, folder, digest, logs, replicas=count)
        return Server(ports=ports, digest=digest, folder=str(folder))

    if known is not None:
        here = Path(known.folder).is_dir() or hands.target.servers(model).get(version) == known.ports
        folder, digest = (Path(known.folder), known.digest) if here else hands.materialise(rt, model, version)
        try:
            return started(folder, digest)
        except GateFailedError as problem:
            log.warning("%s: version %s is fetched again: %s", model, version, problem)
    return started(*hands.materialise(rt, model, version))
