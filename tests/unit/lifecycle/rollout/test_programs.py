"""Names of server programs, and what a declared one says of itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.rollout.targets.programs import Declared, ServerProgram, declared_programs, program_text

MODELS = st.from_regex(r"[a-z][a-z0-9_]{1,20}", fullmatch=True)


@given(MODELS, st.integers(1, 10**6), st.integers(1, 32), st.booleans())
def test_a_name_tells_its_program(model, version, number, baseline):
    program = ServerProgram(model, version, number, baseline)
    assert ServerProgram.parse(program.name) == program


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (ServerProgram("churn", 8), "server-churn-8"),
        (ServerProgram("churn", 8, 2), "server-churn-8-2"),
        (ServerProgram("churn", 7, baseline=True), "server-churn-7-baseline"),
        (ServerProgram("churn", 7, 3, baseline=True), "server-churn-7-baseline-3"),
    ],
)
def test_the_first_server_keeps_the_plain_name(program, name):
    assert program.name == name


@pytest.mark.parametrize("name", ["gateway", "server-churn", "server-churn-x", "server-churn-8-canary", "server-churn-8-2-3"])
def test_other_names_are_no_servers(name):
    assert ServerProgram.parse(name) is None


def test_what_is_declared_is_read_back(tmp_path, rt):
    folder = "/served/50% off/8"
    command = ["-m", "server", "--directory", folder, "--digest", "ab", "--port", "18308", "--log-dir", "/logs"]
    path = tmp_path / "server-churn-8.conf"
    path.write_text(program_text("server-churn-8", rt.settings, command, stop_seconds=25))
    (tmp_path / "gateway.conf").write_text("[program:gateway]\ncommand=envoy\n")
    (tmp_path / "server-churn-10.conf").write_text(path.read_text())
    assert Declared.read(path) == Declared(18308, "ab", folder)
    assert Declared.read(tmp_path / "nobody.conf") is Declared.read(tmp_path / "gateway.conf") is None
    assert declared_programs(tmp_path) == [ServerProgram("churn", 8), ServerProgram("churn", 10)]
