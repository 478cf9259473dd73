"""A real Envoy and a real supervisord for rollout tests, clients that count what they get, and servers that behave as told."""

from __future__ import annotations

import json

from benchmarks.clients import Clients
from benchmarks.gateway_stack import GatewayStack as Stack
from benchmarks.gateway_stack import running_stack, wait_for
from include.lifecycle.rollout.targets.embedded import EmbeddedTarget

__all__ = ["Clients", "Stack", "running_stack", "tiny_target", "tiny_version", "wait_for"]


def tiny_target(rt):
    """The embedded target with servers whose behaviour the test says."""
    return EmbeddedTarget(rt, module="tests.integration.tiny_server")


def tiny_version(rt, model, version, **behaviour):
    """Write a version folder for the tiny server; return (folder, digest)."""
    folder = rt.storage.served(model, version)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "behaviour.json").write_text(json.dumps({"version": version} | behaviour))
    return folder, f"{version:064d}"
