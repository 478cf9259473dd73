"""A real Envoy and a real supervisord for rollout tests, clients that count what they get, and servers that behave as told."""

from __future__ import annotations

import json

from benchmarks.clients import Clients
from benchmarks.gateway_stack import GatewayStack as Stack
from benchmarks.gateway_stack import running_stack, wait_for
from include.lifecycle.rollout.targets.embedded import EmbeddedTarget
from include.lifecycle.rollout.targets.supervisor import Supervisor

__all__ = ["Clients", "Stack", "quick_target", "running_stack", "tiny_target", "tiny_version", "wait_for"]


def tiny_target(rt):
    """The embedded target with servers whose behaviour the test says."""
    return EmbeddedTarget(rt, module="tests.integration.tiny_server")


class QuickSupervisor(Supervisor):
    """Has supervisord call a program running as soon as it started; otherwise each start takes a second more."""

    def add(self, name, text):
        super().add(name, text.replace("startsecs=1\n", "startsecs=0\n"))


class QuickTarget(EmbeddedTarget):
    """The embedded target with the quicker supervisor."""

    @property
    def supervisor(self):
        return QuickSupervisor(self.rt.settings.supervisor_socket, self.rt.settings.server_conf_dir)


def quick_target(rt, module="tests.integration.tiny_server"):
    """As `tiny_target`, for servers that nobody kills and that do not fail to start."""
    return QuickTarget(rt, module=module)


def tiny_version(rt, model, version, **behaviour):
    """Write a version folder for the tiny server; return (folder, digest)."""
    folder = rt.storage.served(model, version)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "behaviour.json").write_text(json.dumps({"version": version} | behaviour))
    return folder, f"{version:064d}"
