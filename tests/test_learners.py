"""Every learner with every kind of state: an option of each, from one mechanism."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.agents.loop import Trainer, check_finite
from jaxinv.agents.registry import AGENTS
from jaxinv.envs.presets import LostSales

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIZES = dict(updates=10, envs=4, rollout=3, features=8, heads=2, layers=1, hidden=(8,))
OWN = {"ppo": dict(minibatches=2, epochs=1), "diffsim": {}} | dict.fromkeys(
    ("dqn", "ddpg", "sac"), dict(capacity=48, batch=16, steps=2)
)
SEASONAL = LostSales(lead_time=2, demand="seasonal", history=4, horizon=12)


def agent_of(name, **options):
    agent = AGENTS[name]
    return agent.create(SEASONAL.build(), agent.Config(**{**SIZES, **OWN[name], **options}))


@pytest.mark.parametrize(
    "name, encoder",
    [
        ("diffsim", "gru"),
        ("dqn", "transformer"),
        *(
            pytest.param(name, kind, marks=pytest.mark.slow)
            for name in ("ddpg", "sac")
            for kind in ("gru", "transformer")
        ),
        pytest.param("diffsim", "transformer", marks=pytest.mark.slow),
        pytest.param("dqn", "gru", marks=pytest.mark.slow),
    ],
)
def test_an_encoded_state_learns_with_every_learner(name, encoder):
    trainer = Trainer(agent_of(name, encoder=encoder))
    before = trainer.init(jax.random.key(0))
    after, metrics = trainer.advance(before, 2)
    check_finite(metrics, 0)
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), before.params, after.params)
    assert "encoder" in moved["params"] and all(jax.tree.leaves(moved)), moved


@pytest.mark.slow
def test_a_recurrent_state_is_the_same_window_by_window():
    """Training reads the trace once, or every decision its own window: the same orders, costs and
    gradients.
    """
    once = agent_of("diffsim", encoder="gru", layers=2)
    windows = once.replace(policy=dataclasses.replace(once.policy, window_by_window=True))
    ends = []
    for agent in (once, windows):
        trainer = Trainer(agent)
        state, metrics = trainer.advance(trainer.init(jax.random.key(0)), 2)
        ends.append((metrics["cost"], jax.tree.leaves(state.params)))
    np.testing.assert_allclose(ends[0][0], ends[1][0], rtol=1e-5)
    for left, right in zip(ends[0][1], ends[1][1], strict=True):
        np.testing.assert_allclose(left, right, atol=1e-4)
