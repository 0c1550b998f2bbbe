"""`jaxinv COMMAND`: the console script, which answers at once and names what there is."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import jaxinv
from jaxinv.__main__ import COMMANDS

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
SCRIPT = """
import json, sys
from {module} import {function}
sys.argv[0] = "/somewhere/bin/jaxinv"
try:
    {function}()
except SystemExit as end:
    print(json.dumps([end.code, "jax" in sys.modules]))
"""


def jaxinv_script(*arguments) -> tuple[int, bool, str, str]:
    """The exit code of what pyproject says the script is, whether it imported jax, and what it
    said on both streams.
    """
    address = tomllib.loads(PYPROJECT.read_text())["project"]["scripts"]["jaxinv"]
    code = SCRIPT.format(**dict(zip(("module", "function"), address.split(":"))))
    run = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120)
    *said, ended = done.stdout.splitlines()
    return *json.loads(ended), "\n".join(said), done.stderr


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_help_names_every_command_at_once(arguments):
    code, imported_jax, said, error = jaxinv_script(*arguments)
    assert (code, imported_jax, error) == (0, False, "")
    assert re.findall(r"^  (\w+)  +\S", said, re.M) == list(COMMANDS)


def test_its_version():
    assert jaxinv_script("--version") == (0, False, f"jaxinv {jaxinv.__version__}", "")


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("trian --env lost_sales", "unknown command 'trian'; did you mean 'train'?"),
        ("--verison", "unknown option '--verison'; did you mean '--version'?"),
        ("train --evn lost_sales", "unknown option '--evn'; did you mean '--env'?"),
        ("report", "name one run, or one folder of orders, to report on"),
    ],
)
def test_a_mistake_is_one_line_at_once(arguments, said):
    code, imported_jax, out, error = jaxinv_script(*arguments.split())
    assert (code, imported_jax, out) == (2, False, "")
    assert error.startswith(f"error: {said}") and error.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_names_it_as_it_was_called(command):
    code, imported_jax, said, _ = jaxinv_script(command, "--help")
    assert (code, imported_jax) == (0, False)
    assert said.startswith(f"usage: jaxinv {command} ") and "python -m" not in said


def test_a_command_through_the_package_is_the_module():
    def solved(*form):
        run = [sys.executable, "-m", *form, "lost_sales", "lead_time=1", "--json"]
        done = subprocess.run(run, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    found, module = solved("jaxinv", "solve"), solved("jaxinv.solve")
    assert found["average_cost"] == module["average_cost"] == pytest.approx(4.0407, abs=1e-4)
