"""Environments shared out over devices: the numbers of one device, and less work on each."""

import json
import os
import subprocess
import sys

import pytest

from jaxinv import train
from jaxinv.errors import UserError

TINY = dict(
    diffsim=["learner.rollout=6"],
    ppo=["learner.rollout=6", "learner.minibatches=2"],
    dqn=["learner.rollout=4", "learner.batch=16", "learner.steps=2", "learner.capacity=128"],
)

SCRIPT = """
import json, re, sys
import jax, numpy as np
from jaxinv.experiment import Experiment
from jaxinv.checkpoint import read_tree, write_tree
from jaxinv.evaluation.held_out import costs
from jaxinv.keys import root
from jaxinv.placement import use_devices
from pathlib import Path

agent, folder, *options = sys.argv[1:]
told = {}
for count in (1, 8, 2) if agent == "diffsim" else (1, 8):
    use_devices(count)
    made = Experiment.load(None, [
        "env=lost_sales", f"agent={agent}", "updates=4", "learner.envs=16", "learner.hidden=[4]",
        "history=1",
        "lead_time=2", *options,
    ])
    trainer = made.trainer
    if count != 2:
        state = trainer.init(made.keys)
        state, metrics = trainer.advance(state, 2)
        if count == 8:
            write_tree(Path(folder) / "checkpoint", state)
    else:  # goes on with the state of eight devices
        shapes = jax.eval_shape(trainer.init, made.keys)
        state = trainer.place(read_tree(Path(folder) / "checkpoint", shapes))
    state, metrics = trainer.advance(state, 2)
    (learned,) = made.contestants(state, agent)
    on_hand = state.learner.episodes.network.on_hand
    told[count] = dict(
        metrics={name: values.tolist() for name, values in metrics.items()},
        memory=trainer._compiled[2].memory_analysis().temp_size_in_bytes,
        environments=on_hand.addressable_shards[0].data.shape[-1],
        devices=len(on_hand.sharding.device_set),
        held_out=float(np.mean(costs(made.problem, learned, root(1), 32))),
    )
print(json.dumps(told))
"""


@pytest.fixture(scope="module", params=TINY)
def trained(request, tmp_path_factory):
    """What a training of each learner says on one device, on eight, and resumed on two."""
    folder = tmp_path_factory.mktemp(request.param)
    made = subprocess.run(
        [sys.executable, "-c", SCRIPT, request.param, str(folder), *TINY[request.param]],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "8", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def test_many_devices_give_the_numbers_of_one(trained):
    one = trained["1"]
    for many in trained.values():
        assert many["held_out"] == pytest.approx(one["held_out"], rel=1e-4)
        for name, values in one["metrics"].items():
            assert many["metrics"][name] == pytest.approx(values, rel=2e-3, abs=2e-4), name


def test_each_device_has_its_share_of_the_environments(trained):
    for count, told in trained.items():
        assert told["devices"] == int(count)
        assert told["environments"] == 16 // int(count)
    assert trained["8"]["memory"] < trained["1"]["memory"]


def test_devices_that_are_not_there_are_refused():
    with pytest.raises(UserError, match=r"--devices 3: there (is|are) \d .*give 1 \.\. "):
        train.main(["--env", "lost_sales", "agent=diffsim", "--devices", "3"])


def test_a_batch_that_devices_do_not_divide_is_refused():
    made = subprocess.run(
        [sys.executable, "-m", "jaxinv.train", "--env", "lost_sales", "agent=diffsim"]
        + ["learner.envs=10", "--devices", "4"],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "4"},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 2
    assert made.stderr.strip().splitlines() == [
        "error: envs=10 cannot be shared out over 4 devices; give a multiple of 4"
    ]
