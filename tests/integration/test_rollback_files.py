"""`cli rollback --direct` with the real registry and model servers: files gone here, files gone everywhere."""

import json
import shutil
from uuid import uuid4

import pytest

from include.lifecycle.cli import main
from include.lifecycle.commands import rollback
from include.lifecycle.registry.artefacts import MANIFEST_TAG, REMOVED_TAG, materialise_version, model_version
from include.lifecycle.registry.client import champion_version, registry_client
from include.lifecycle.registry.promotion import promote
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server
from include.lifecycle.rollout.targets.embedded import EmbeddedTarget
from include.serving.version_folder import verify
from tests.integration.registry_lab import Lab, lab_spec
from tests.integration.rollout_stack import Clients, running_stack

pytestmark = pytest.mark.integration


def serve(rt, target, model, version):
    folder, digest = materialise_version(rt, model, version)
    ports = target.ensure_server(model, version, folder, digest, rt.storage.predictions(model))
    server = Server(ports=ports, digest=digest, folder=str(folder))
    target.apply(DesiredTraffic(model=model, champion=version, weights={version: 100}, servers={version: server}))
    promote(rt, model, version, reason="a test", key=f"{model}:{version}", actor="test")


def test_files_gone_here_are_fetched_and_files_gone_everywhere_leave_the_traffic(
    make_runtime, mlflow_server, monkeypatch, capsys
):
    with running_stack() as stack:
        rt = make_runtime(**stack.environment, MODELOPS_MLFLOW_URL=mlflow_server)
        lab, model = Lab(rt, lab_spec(name := f"flights_{uuid4().hex[:8]}")), name
        monkeypatch.setattr(rollback, "load_model", lambda name, settings: lab.spec)
        for number in (1, 2):
            lab.whole(f"scheduled__{number}", "logistic_regression", seed=number, train_days=20, holdout_days=10)
        target = EmbeddedTarget(rt)
        serve(rt, target, model, 1)
        serve(rt, target, model, 2)
        target.stop_server(model, 1)
        golden = json.loads((rt.storage.served(model, 2) / "golden.json").read_text())
        shutil.rmtree(rt.storage.served(model, 1))

        def back(*options):
            code = main(
                ["rollback", model, "--direct", "--by", "ada", "--reason", "wrong prices", *options], settings=rt.settings
            )
            return code, capsys.readouterr().out

        assert main(["rollback", model, "--plan"], settings=rt.settings) == 0
        assert "from version 2 to 1 (whole, in " in capsys.readouterr().out
        shutil.rmtree(rt.storage.served(model, 1))
        body = json.dumps(golden["inputs"]).encode()
        with Clients(stack.port, f"/v2/models/{model}/infer", body, count=2, pause=0.02) as clients:
            assert back("--reason-kind", "complaint") == (
                0,
                f"{model}: rolled_back: rollback by ada (complaint): wrong prices; now 1\n",
            )
        assert clients.failed == 0, clients.problems[:5]
        verify(rt.storage.served(model, 1), model_version(rt, model, 1).tags[MANIFEST_TAG])
        assert (target.read_back(model), set(target.servers(model)), champion_version(rt, model)) == ({1: 100}, {1}, 1)

        code, said = back()
        assert code == 1
        assert "champion 1 has no previous version; name one (to_version)" in said
        registry_client(rt).set_model_version_tag(model, "2", REMOVED_TAG, "2013-08-02")
        shutil.rmtree(rt.storage.served(model, 2))
        code, said = back("--to-version", "2")
        assert code == 1
        assert "version 2 cannot be served any more, so the traffic stays as it is" in said
        assert (target.read_back(model), champion_version(rt, model)) == ({1: 100}, 1)
