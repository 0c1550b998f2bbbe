"""What users bring from outside: a preset and an agent of their own, in every command."""

import json
import subprocess
import sys

import gymnax
import pytest

import jaxinv
from jaxinv.envs.presets import LostSales
from jaxinv.errors import UserError
from jaxinv.experiment import Experiment, expand

pytestmark = pytest.mark.usefixtures("quick_compilation")

MODULE = '''
from dataclasses import dataclass
from typing import ClassVar

import jax
from flax import struct

from jaxinv.agents.agent import traced
from jaxinv.agents.learner import Learner, LearnerConfig, LearnerState
from jaxinv.envs.presets import LostSales
from jaxinv.envs.problem import Preset, Problem


@dataclass(frozen=True, kw_only=True)
class Kiosk(Preset):
    shortage_cost: float = 9.0

    def build(self) -> Problem:
        return LostSales(lead_time=1, shortage_cost=self.shortage_cost, horizon=self.horizon).build()


@dataclass(frozen=True)
class StepConfig(LearnerConfig):
    step: float = traced(0.01)

    stock_only: ClassVar = dict(updates=4, envs=8, rollout=6, encoder="none", hidden=(8,))
    suits: ClassVar = {"perishable": dict(updates=3, encoder="none")}


@struct.dataclass
class Step(Learner):
    """Moves against the sign of the pathwise gradient."""

    Config: ClassVar = StepConfig

    def update(self, state: LearnerState):
        key, begin_key = jax.random.split(state.key)
        episodes, index = self.worlds.proceed(begin_key, state.episodes, state.index)
        instance = self.worlds.instance_params(index, episodes.key)
        after, trace, _ = self.worlds.play_ahead(episodes, instance)

        def cost(params):
            contexts = self.encode(params, trace.signals, instance)
            network, reward, _ = self.play_mode(params, episodes.network, trace, contexts, instance)
            return -reward.mean(), network

        (cost, network), slope = jax.value_and_grad(cost, has_aux=True)(state.params)
        params = jax.tree.map(lambda p, g: p - self.numbers["step"] * jax.numpy.sign(g), state.params, slope)
        metrics = {"cost": cost, "gradient_norm": jax.numpy.sqrt(sum((g**2).sum() for g in jax.tree.leaves(slope)))}
        return state.replace(
            params=params, episodes=after.replace(network=network), index=index, key=key, update=state.update + 1
        ), metrics


class NoPreset:
    pass
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a user's module, in which the commands are run."""
    (tmp_path / "mykiosk.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("mykiosk", None)


def command(name, *arguments):
    run = [sys.executable, "-m", f"jaxinv.{name}", *arguments, "--json"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_preset_and_an_agent_of_ones_own_work_in_every_command(folder):
    """Trained in one process, found again by the next; the optimum is that of lead time 1 and
    penalty 9 (5.43822).
    """
    sizes = ["evaluation.tune_periods=40000", "evaluation.paths=16", "evaluation.rules=base_stock"]
    trained = command(
        "train",
        "--env",
        "mykiosk:Kiosk",
        "agent=mykiosk:Step",
        "step=0.02",
        "horizon=12",
        "--name",
        "mine",
        *sizes,
    )
    assert (
        trained["env"] == "mykiosk:Kiosk"
        and trained["agent"] == "mykiosk:Step"
        and trained["steps"] == 4 * 8 * 6
    )
    assert "env: mykiosk:Kiosk" in (folder / "runs" / "mine" / "config.yaml").read_text()
    rows = command("evaluate", "mine", "base_stock")
    assert [row["policy"] for row in rows][:2] == ["mine", "base_stock"]
    assert rows[0]["cost"] == pytest.approx(trained["evaluation"][0]["cost"])
    assert command("solve", "mykiosk:Kiosk")["average_cost"] == pytest.approx(5.43822, abs=1e-4)
    assert command("solve", "mykiosk:Kiosk", "shortage_cost=4")["average_cost"] < 5.0
    assert (
        command("tune", "base_stock", "mykiosk:Kiosk", "--periods", "40000")["rule"] == "base_stock"
    )


def test_settings_of_an_agent_of_ones_own_suit_the_preset(folder):
    def learner(env):
        return Experiment.load(None, [f"env={env}", "agent=mykiosk:Step"]).config.learner

    assert learner("lost_sales").updates == 4 and learner("perishable").updates == 3
    assert learner("cross_border").updates == 160  # reads a history: what every learner takes
    (sweep,) = expand(None, ["env=lost_sales", "agent=mykiosk:Step"], ["step=0.1,0.2"])
    assert sweep.runs == 2


@pytest.mark.parametrize(
    "key, name, message",
    [
        (
            "env",
            "nowhere:Kiosk",
            "no module 'nowhere' here; run the command in the folder of nowhere.py",
        ),
        ("env", "my kiosk:Kiosk", "no module 'my kiosk' here"),
        ("env", ":Kiosk", "no module '' here"),
        (
            "env",
            "mykiosk:Kiosque",
            "mykiosk has no class 'Kiosque' that extends jaxinv.envs.problem.Preset",
        ),
        ("env", "mykiosk:NoPreset", "mykiosk has no class 'NoPreset' that extends"),
        ("env", "mykiosk:Step", "mykiosk has no class 'Step' that extends"),
        ("env", "mykiosk:", "mykiosk has no class '' that extends"),
        ("env", "lost_sale", "unknown preset 'lost_sale'; did you mean 'lost_sales'"),
        (
            "agent",
            "mykiosk:Kiosk",
            "mykiosk has no class 'Kiosk' that extends jaxinv.agents.learner.Learner",
        ),
        ("agent", "pp0", "unknown agent 'pp0'; did you mean 'ppo'"),
    ],
)
def test_an_address_that_leads_nowhere_says_so(folder, key, name, message):
    with pytest.raises(UserError, match=message):
        Experiment.load(None, ["env=lost_sales", f"{key}={name}"])


def test_a_registered_preset_has_a_name_everywhere(folder, monkeypatch):
    monkeypatch.setattr("jaxinv.envs.registry.PRESETS", dict(jaxinv.PRESETS))
    import mykiosk

    jaxinv.register_preset("kiosk", mykiosk.Kiosk)
    jaxinv.register_preset("kiosk", mykiosk.Kiosk)  # a module that is imported twice
    env, params = jaxinv.make("kiosk", shortage_cost=7.0)
    assert (
        float(params.shortage[0, 0]) == 7.0
        and gymnax.make("jaxinv/kiosk")[0] == jaxinv.make("kiosk")[0]
    )
    # a run is read by a process in which nobody registers it
    assert Experiment.load(None, ["env=kiosk"]).config.env == "mykiosk:Kiosk"
    with pytest.raises(UserError, match="preset 'lost_sales' is there already"):
        jaxinv.register_preset("lost_sales", mykiosk.Kiosk)
    with pytest.raises(UserError, match="must be a class that extends jaxinv.envs.problem.Preset"):
        jaxinv.register_preset("none", mykiosk.NoPreset)
    assert (
        Experiment.load(None, ["env=lost_sales"]).config.env == "lost_sales"
        and LostSales is jaxinv.PRESETS["lost_sales"]
    )
