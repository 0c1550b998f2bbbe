"""What is answered at once imports nothing heavy, and a problem is built on the host."""

import json
import subprocess
import sys

import jax
import pytest

from jaxinv.agents.registry import AGENTS
from jaxinv.envs.problem import Problem
from jaxinv.envs.registry import PRESETS
from jaxinv.policies.registry import RULES

HEAVY = ("jax", "gymnax", "pandas", "numpy")
RUN = """
import json, runpy, sys
name, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_module(name, run_name="__main__")
except SystemExit as end:
    print(json.dumps([end.code, [heavy for heavy in %r if heavy in sys.modules]]))
"""


def loaded(*command) -> tuple[int, list[str], str]:
    """The exit code of a command, which heavy modules it imported, and what it said."""
    run = [sys.executable, "-c", RUN % (HEAVY,), *command]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    return *json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.parametrize("command", ["train", "evaluate", "solve", "tune", "reproduce", "ablate"])
def test_help_imports_nothing_heavy(command):
    code, modules, _ = loaded(f"jaxinv.{command}", "--help")
    assert (code, modules) == (0, [])


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("train --env lost_sale", "unknown preset 'lost_sale'; did you mean 'lost_sales'?"),
        ("train agent=pp0", "unknown agent 'pp0'; did you mean 'ppo'?"),
        ("train --resume nothing", "no run 'nothing'"),
        (
            "evaluate base_stok --env lost_sales",
            "unknown run or rule 'base_stok'; did you mean 'base_stock'?",
        ),
        ("evaluate base_stock --env lost_sale", "did you mean 'lost_sales'?"),
        ("tune base_stok lost_sales", "unknown rule 'base_stok'; did you mean 'base_stock'?"),
        ("solve backlogs", "did you mean 'backlog'?"),
        ("reproduce learner", "did you mean 'learners'?"),
    ],
)
def test_a_mistyped_name_imports_nothing_heavy(arguments, said):
    command, *rest = arguments.split()
    code, modules, error = loaded(f"jaxinv.{command}", *rest)
    assert (code, modules) == (2, []) and said in error and error.count("\n") == 1


def test_gymnax_knows_the_presets_in_either_order_of_imports():
    for first, second in (("jaxinv", "gymnax"), ("gymnax", "jaxinv")):
        code = (
            f"import {first}, {second}; print(gymnax.make('jaxinv/lost_sales',"
            " lead_time=3)[0].name)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
        )
        assert done.stdout == "lost_sales\n", done.stderr


@pytest.mark.parametrize(
    "name",
    [name for name in PRESETS if name not in ("retail", "retail_network", "network", "deepstock")],
)
def test_a_problem_is_built_without_compiling(name):
    compiled = []

    def hear(event, seconds, **_):
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(hear)
    try:
        assert isinstance(PRESETS[name]().build(), Problem)
    finally:
        jax.monitoring.unregister_event_duration_listener(hear)
    assert not compiled


def test_names_are_those_of_the_classes():
    assert [rule.name for rule in RULES.values()] == list(RULES)
    assert len(set(RULES.values())) == len(RULES) and len(set(AGENTS.values())) == len(AGENTS)
