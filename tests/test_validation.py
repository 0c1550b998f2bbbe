"""The policy that a training keeps: the best on instances that it was not shown, the same however
often it is resumed.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from jaxinv.agents.agent import Worlds
from jaxinv.agents.loop import Trainer, stack_agents
from jaxinv.agents.ppo import PPO, PPOConfig
from jaxinv.agents.registry import AGENTS, OFFLINE
from jaxinv.agents.validation import PATHS, Best, Validation
from jaxinv.envs.cross_border import CrossBorder
from jaxinv.envs.presets import LostSales
from jaxinv.envs.retail import Retail
from jaxinv.errors import UserError
from jaxinv.evaluation.simulate import simulate
from jaxinv.experiment import Experiment
from jaxinv.policies.rules import make_rule
from jaxinv.runs import Run

CONFIG = PPOConfig(
    updates=4,
    envs=8,
    rollout=6,
    epochs=1,
    minibatches=2,
    encoder="none",
    hidden=(8,),
    learning_rate=0.05,
)


@pytest.fixture(scope="module")
def retail(tmp_path_factory):
    """A shop of 50 series; 60 days of sales."""
    random, days = np.random.default_rng(0), pd.date_range("2024-01-01", periods=60)
    rows = [
        pd.DataFrame({"date": days, "sku": sku, "sales": random.poisson(5.0, 60)})
        for sku in range(50)
    ]
    file = tmp_path_factory.mktemp("shop") / "sales.csv"
    pd.concat(rows).to_csv(file, index=False)

    def preset(**options):
        return Retail(
            data=str(file), frequency="day", lead_time=1, history=4, horizon=20, **options
        )

    return preset


@pytest.fixture(scope="module")
def trainer(retail, quick_compilation):
    problem = retail().build()
    return Trainer(
        PPO.create(problem, CONFIG), validation=Validation.of(problem, jax.random.key(1))
    )


def test_a_learner_is_not_shown_what_its_policies_are_chosen_on(retail):
    problem = retail().build()
    worlds = Worlds.of(problem, batch=4, periods=5, horizon=20)
    assert len(set(problem.held_out)) == 10 and worlds.instances == 40
    shown = np.asarray(worlds.params.demand.demand).reshape(40, -1)
    held = np.asarray(problem.train.demand.demand)[list(problem.held_out)].reshape(10, -1)
    assert not any((shown == trace).all(1).any() for trace in held)
    assert not retail(validation=0.1).build().held_out  # five series tell nothing apart
    with pytest.raises(UserError, match="validation=1 leaves no series to learn on"):
        retail(validation=1.0)


def test_one_instance_is_validated_on_noise_of_its_own():
    """The same policy costs what a simulation on the validation's own key says; other keys are
    other noise.
    """
    problem = LostSales(lead_time=1).build()
    policy, params = make_rule("base_stock", problem.env.topology), {"level": jnp.full((1, 1), 1.2)}
    costs = [
        float(Validation.of(problem, jax.random.key(seed)).cost(policy, params))
        for seed in (0, 0, 1)
    ]
    periods = problem.counted_periods
    total = simulate(
        problem.env, problem.first, policy, params, jax.random.key(0), batch=PATHS, periods=periods,
        warm_up=problem.warm_up
    )  # fmt: skip
    assert costs[0] == pytest.approx(float(-total.reward.mean() / periods), rel=1e-5)
    assert costs[0] == costs[1] != costs[2]


def test_instances_that_are_all_trained_on_need_no_validation():
    assert Validation.of(CrossBorder(skus=2, max_lead_time=35).build(), jax.random.key(0)) is None


@pytest.mark.parametrize("name", [name for name in AGENTS if name not in OFFLINE])
def test_on_endless_demand_only_learners_that_wander_are_validated(name):
    experiment = Experiment.load(overrides=["env=lost_sales", f"agent={name}"])
    assert (experiment.trainer.validation is None) == (name in ("diffsim", "tabular_q", "fdim"))


def test_held_out_series_are_a_validation_for_every_learner(retail):
    assert Validation.of(retail().build(), jax.random.key(0), settles=True) is not None


def test_the_best_is_kept_run_by_run():
    best = Best.first({"a": jnp.zeros((2, 3))}, runs=2)
    best = jax.vmap(Best.follow)(best, {"a": jnp.ones((2, 3))}, jnp.array([5.0, 6.0]))
    best = jax.vmap(Best.follow)(best, {"a": 2 * jnp.ones((2, 3))}, jnp.array([7.0, 4.0]))
    np.testing.assert_array_equal(best.params["a"], [[1, 1, 1], [2, 2, 2]])
    np.testing.assert_array_equal(best.cost, [5.0, 4.0])


def test_a_training_ends_with_the_policy_that_cost_least_on_held_out_instances(trainer):
    state, seen = trainer.init(jax.random.key(0)), []
    for _ in range(4):
        state, metrics = trainer.advance(state, 1)
        seen.append((float(metrics["validation_cost"][-1]), state.learner.params))
    cost, params = min(seen, key=lambda pair: pair[0])
    assert float(state.best.cost) == cost
    for ours, theirs in zip(jax.tree.leaves(state.params), jax.tree.leaves(params)):
        np.testing.assert_array_equal(ours, theirs)
    again = jax.jit(lambda params: trainer.validation.cost(trainer.agent.policy, params))(
        state.params
    )
    assert float(again) == pytest.approx(cost, rel=1e-5)


def test_a_resumed_training_keeps_the_same_policy(trainer, tmp_path):
    run = Run.create(tmp_path, "half", config_text="")
    state, _ = trainer.advance(trainer.init(jax.random.key(0)), 1)
    run.save_checkpoint(1, state)
    _, restored = run.restore(jax.eval_shape(trainer.init, jax.random.key(0)))
    whole, _ = trainer.advance(state, 1)
    resumed, _ = trainer.advance(restored, 1)
    assert float(whole.best.cost) == float(resumed.best.cost)
    for ours, theirs in zip(jax.tree.leaves(whole.params), jax.tree.leaves(resumed.params)):
        np.testing.assert_array_equal(ours, theirs)


def test_runs_side_by_side_are_validated_each_by_itself(trainer):
    agent = stack_agents([trainer.agent], seeds=2)
    keys = jax.random.split(jax.random.key(0), 2)
    both = Trainer(agent, runs=2, validation=trainer.validation)
    state, metrics = both.advance(both.init(keys), 1)
    assert metrics["validation_cost"].shape == (1, 2) and state.best.cost.shape == (2,)
    alone, _ = trainer.advance(trainer.init(keys[1]), 1)
    assert float(state.best.cost[1]) == pytest.approx(float(alone.best.cost), rel=1e-4)
