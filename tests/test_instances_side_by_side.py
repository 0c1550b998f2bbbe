"""Instances of one network trained in one program, a policy each: what each learns is what it would
learn alone.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.agents.diffsim import DiffSim, DiffSimConfig
from jaxinv.agents.loop import Trainer, select_run, stack_agents
from jaxinv.envs.one_network import DifferentNetworks, on_one_network
from jaxinv.envs.presets import Backlog, LostSales, Serial
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.experiment import expand
from jaxinv.policies.rules import BaseStock

pytestmark = pytest.mark.usefixtures("quick_compilation")

INSTANCES = (
    LostSales(lead_time=1, shortage_cost=4.0),
    LostSales(lead_time=3, shortage_cost=19.0),
    LostSales(lead_time=2, demand="geometric"),
)
TINY = DiffSimConfig(updates=3, envs=8, rollout=6, encoder="none", hidden=(8,))


def test_an_instance_is_the_same_on_the_common_network():
    """The same policy on the same demand costs the same, whatever lead times stand beside it."""
    alone = [preset.build() for preset in INSTANCES]
    together = on_one_network(alone)
    assert len({problem.env for problem in together}) == 1
    assert len({problem.train.demand.cdf.shape for problem in together}) == 1

    def cost(problem):
        problem = dataclasses.replace(problem, test_periods=60, warm_up=0)
        rule = Contestant(
            "base_stock", BaseStock(problem.env.topology), {"level": jnp.full((1, 1), 1.2)}
        )
        return measure(problem, rule, jax.random.key(0), 4).reward

    for before, after in zip(alone, together):
        np.testing.assert_allclose(cost(after), cost(before), rtol=1e-5)


def test_problems_that_differ_in_more_than_numbers_are_refused():
    with pytest.raises(DifferentNetworks):
        on_one_network([LostSales().build(), Backlog().build()])
    with pytest.raises(DifferentNetworks):
        on_one_network([LostSales().build(), LostSales(horizon=50).build()])
    with pytest.raises(DifferentNetworks):
        on_one_network(
            [Serial(lead_times=(1, 2), holding_costs=(0.1, 1.0)).build(), Serial().build()]
        )


def test_a_sweep_over_instances_is_one_program_and_each_is_judged_on_its_own():
    sweep = ["lead_time=1,2", "instance.shortage_cost=4,9", "learning_rate=0.01"]
    (experiment,) = expand(None, ["env=lost_sales", "agent=diffsim", "seeds=2"], sweep)
    assert experiment.runs == 8
    assert experiment.labels[:2] == [
        f"lead_time=1 shortage_cost=4 learning_rate=0.01 seed {seed}" for seed in (0, 1)
    ]
    assert experiment.agent.worlds.params.lead_time[:, 0, 0].tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
    contests = experiment.contests([*range(8)])
    assert [(contest.label, contest.policies) for contest in contests] == [
        (f"lead_time={lead} shortage_cost={cost}", [number, number + 1])
        for number, (lead, cost) in zip(range(0, 8, 2), [(1, 4), (1, 9), (2, 4), (2, 9)])
    ]
    assert len({contest.problem.env for contest in contests}) == 1
    assert float(contests[3].problem.first.shortage[0, 0]) == 9.0


def test_a_sweep_over_different_networks_is_one_experiment_each():
    experiments = expand(None, ["env=lost_sales", "agent=diffsim"], ["horizon=50,100"])
    assert [experiment.config.instance.horizon for experiment in experiments] == [50, 100]


def test_an_impossible_instance_in_a_sweep_is_named():
    with pytest.raises(UserError, match="lead_time: 'two' is not a whole number"):
        expand(None, ["env=lost_sales"], ["lead_time=1,two"])


def test_runs_with_worlds_of_their_own_equal_single_runs():
    problems = on_one_network([preset.build() for preset in INSTANCES])
    agents = [DiffSim.create(problem, TINY) for problem in problems]
    keys = jax.random.split(jax.random.key(3), 3)
    trainer = Trainer(stack_agents(agents, seeds=1, own_worlds=True), runs=3, worlds_axis=0)
    together, metrics = trainer.advance(trainer.init(keys), 3)
    assert metrics["cost"].shape == (3, 3)
    update = jax.jit(lambda agent, state: agent.update(state))
    for run, (agent, key) in enumerate(zip(agents, keys)):
        state = agent.init(key)
        for _ in range(3):
            state, _ = update(agent, state)
        for left, right in zip(
            jax.tree.leaves(select_run(together, run).params), jax.tree.leaves(state.params)
        ):
            np.testing.assert_allclose(left, right, atol=1e-4)
    assert update._cache_size() == 1  # instances are numbers: another one is the same program
