"""Environments shared out over devices: the numbers of one device, and less work on each."""

import json
import os
import subprocess
import sys

import pytest

from jaxinv import train
from jaxinv.errors import UserError

LEARNERS = dict(
    diffsim=["learner.rollout=6"],
    ppo=["learner.rollout=6", "learner.minibatches=2"],
    dqn=["learner.rollout=4", "learner.batch=16", "learner.steps=2", "learner.capacity=128"],
)

SCRIPT = """
import json, sys
from pathlib import Path

import jax, numpy as np
from jaxinv.checkpoint import read_tree, write_tree
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import costs
from jaxinv.experiment import Experiment
from jaxinv.keys import root
from jaxinv.placement import use_devices

learners, checkpoint = json.loads(sys.argv[1]), Path(sys.argv[2])


def experiment(agent, *options):
    return Experiment.load(None, [
        "env=lost_sales", f"agent={agent}", "updates=4", "learner.hidden=[4]", "lead_time=2",
        "history=1", *learners[agent], *options,
    ])


def played(agent, count):
    use_devices(count)
    made = experiment(agent, "learner.envs=16")
    trainer = made.trainer
    if count != 2:
        state, _ = trainer.advance(trainer.init(made.keys), 2)
        if count == 8:
            write_tree(checkpoint / agent, state)
    else:  # goes on with the state of eight devices
        shapes = jax.eval_shape(trainer.init, made.keys)
        state = trainer.place(read_tree(checkpoint / agent, shapes))
    state, metrics = trainer.advance(state, 2)
    (learned,) = made.contestants(state, agent)
    on_hand = state.learner.episodes.network.on_hand
    return dict(
        metrics={name: values.tolist() for name, values in metrics.items()},
        memory=trainer._compiled[2].memory_analysis().temp_size_in_bytes,
        environments=on_hand.addressable_shards[0].data.shape[-1],
        devices=len(on_hand.sharding.device_set),
        held_out=float(np.mean(costs(made.problem, learned, root(1), 32))),
    )


told = {agent: {count: played(agent, count) for count in (1, 8)} for agent in learners}
told["diffsim"][2] = played("diffsim", 2)
use_devices(4)
try:
    experiment("diffsim", "learner.envs=10").trainer
except UserError as error:
    told["refused"] = str(error)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What trainings say on one device, on eight, and resumed on two."""
    made = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(LEARNERS), str(tmp_path_factory.mktemp("state"))],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "8", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


@pytest.mark.parametrize("agent", LEARNERS)
def test_many_devices_give_the_numbers_of_one(told, agent):
    one = told[agent]["1"]
    for many in told[agent].values():
        assert many["held_out"] == pytest.approx(one["held_out"], rel=1e-4)
        for name, values in one["metrics"].items():
            assert many["metrics"][name] == pytest.approx(values, rel=2e-3, abs=2e-4), name


@pytest.mark.parametrize("agent", LEARNERS)
def test_each_device_has_its_share_of_the_environments(told, agent):
    for count, played in told[agent].items():
        assert played["devices"] == int(count)
        assert played["environments"] == 16 // int(count)
    assert told[agent]["8"]["memory"] < told[agent]["1"]["memory"]


def test_a_batch_that_devices_do_not_divide_is_refused(told):
    assert told["refused"] == ("envs=10 cannot be shared out over 4 devices; give a multiple of 4")


def test_devices_that_are_not_there_are_refused():
    with pytest.raises(UserError, match=r"--devices 99: there (is|are) \d .*give 1 \.\. "):
        train.main(["--env", "lost_sales", "agent=diffsim", "--devices", "99"])
