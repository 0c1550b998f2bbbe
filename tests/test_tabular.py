"""Tabular Q-learning: against exact optima, against the update written out in NumPy, and as a
learner like any other.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.agents.loop import Trainer, stack_agents
from jaxinv.agents.tabular import TabularConfig, TabularQ
from jaxinv.demand.exogenous import Exogenous
from jaxinv.envs.presets import LostSales
from jaxinv.envs.problem import Problem
from jaxinv.envs.two_warehouses import TwoWarehouses
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant, costs
from jaxinv.exact.enumeration import enumerate_states, visits
from jaxinv.exact.of_policy import discounted_costs, orders_in_every_state
from jaxinv.exact.state_space import network_state
from jaxinv.policies.tabular import TabularPolicy
from jaxinv.studies import tabular as study

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
SMALL = dict(largest_order=2, largest_transfer=1, updates=40, rollout=25)


def agent_of(problem=None, **options):
    return TabularQ.create(problem or study.small(), TabularConfig(**{**SMALL, **options}))


def observed(agent, *stock):
    env = agent.worlds.env
    return env.view(
        network_state(env.topology, jnp.asarray(stock), jnp.zeros(0)), study.small().first
    )


# --- the tables ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, shapes",
    [
        (
            dict(),
            [(36, 27)],
        ),  # 0..5 in each warehouse; 3 x 3 orders and three ways to send one unit or none
        (
            dict(largest_stock=9, step=2, largest_order=4, largest_transfer=4),
            [(25, 45)],
        ),  # no stock is sent both ways
        (dict(learners="independent"), [(6, 6)] * 2),
        (dict(learners="independent", information="shared", roles="warehouses"), [(36, 6)] * 2),
    ],
)
def test_tables_have_a_row_a_state_and_a_column_an_order(options, shapes):
    assert [table.shape for table in agent_of(**options).init(KEY).params] == shapes


def test_an_agent_sees_what_its_role_does():
    """On a lead time of two days the order of the day before is on its way."""
    problem = TwoWarehouses(demand=("uniform(0,2)",), lead_time=2, initial_stock=(2.0,)).build()
    own = agent_of(problem, learners="independent", largest_stock=5).policy.indices[1]
    env = problem.env

    def number(stock, pipeline):
        return int(
            own.state(
                env.view(
                    network_state(env.topology, jnp.asarray(stock), jnp.asarray(pipeline)),
                    problem.first,
                )
            )
        )

    assert own.shape[0] == 6 * 3
    assert number([0, 4], [0, 1]) == 4 * 3 + 1 == number([5, 4], [2, 1])
    assert number([0, 9], [0, 1]) == 5 * 3 + 1  # beyond the bounds


def test_orders_are_put_together_crossing_transfers_set_off_and_room_kept():
    policy = agent_of(learners="independent", largest_transfer=2).policy
    want = [
        np.flatnonzero((index.orders == order).all(1))[0]
        for index, order in zip(policy.indices, ([2, 2], [2, 1]))
    ]
    assert policy.orders(want, observed(agent_of(), 1, 1))[:, 0].tolist() == [
        2,
        2,
        0,
        1,
    ]  # B sends 2, A sends 1
    assert policy.orders(want, observed(agent_of(), 4, 5))[:, 0].tolist() == [
        1,
        0,
        0,
        0,
    ]  # no more than 5 fit in


def test_the_greedy_policy_takes_the_best_column():
    agent = agent_of()
    index = agent.policy.indices[0]
    table = np.zeros(index.shape, np.float32)
    table[index.states.index(np.array([1, 2])), 17] = 1.0
    expected = index.orders[17]
    assert (
        agent.policy.act((jnp.asarray(table),), observed(agent, 1, 2), None)[:, 0].tolist()
        == expected.tolist()
    )
    assert (
        agent.policy.act((jnp.asarray(table),), observed(agent, 2, 2), None).sum() == 0
    )  # the first order is none


# --- the update ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        dict(schedule="constant", learning_rate=0.3, centring=0.0),
        dict(power=0.5, centring=0.2),
        dict(learners="independent", information="shared", team_share=0.25),
        dict(learners="independent", team_share=1.0),
    ],
)
def test_a_period_teaches_what_the_equation_says(options):
    """Stock 2 and 1, demand 1 and 2; costs are counted by hand."""
    agent = agent_of(**options)
    state, numbers = agent.init(KEY), {name: float(value) for name, value in agent.numbers.items()}
    draw = np.random.default_rng(0)
    tables = [draw.normal(size=table.shape).astype(np.float32) for table in state.tables]
    visited = [draw.integers(0, 9, table.shape).astype(np.float32) for table in tables]
    centre = np.linspace(0.1, 0.2, len(tables)).astype(np.float32)
    env, indices = agent.worlds.env, agent.policy.indices
    before = network_state(env.topology, jnp.asarray([2, 1]), jnp.zeros(0))
    greedy = [
        int(table[index.state(observed(agent, 2, 1))].argmax())
        for table, index in zip(tables, indices)
    ]
    orders = np.asarray(agent.policy.orders(greedy, observed(agent, 2, 1)))[:, 0]
    buy_a, buy_b, ab, ba = orders[0], orders[1], min(orders[2], 2), min(orders[3], 1)
    offer = np.array([2 - ab + ba, 1 + ab - ba])
    demand = np.array([1, 2])
    left, short = np.maximum(offer - demand, 0), np.maximum(demand - offer, 0)
    at_nodes, at_edges = left + 9 * short, 0.5 * np.array([ab, ba])
    total = at_nodes.sum() + at_edges.sum()
    own = [total] if len(tables) == 1 else [at_nodes[0] + at_edges[1], at_nodes[1] + at_edges[0]]
    after = observed(agent, *(left + [buy_a, buy_b]))
    expected, errors = [table.copy() for table in tables], []
    for g, (table, index) in enumerate(zip(tables, indices)):
        row = int(index.state(observed(agent, 2, 1)))
        reward = -(
            numbers["team_share"] * total / len(tables) + (1 - numbers["team_share"]) * own[g]
        )
        error = (
            reward
            - centre[g]
            + numbers["discount"] * table[int(index.state(after))].max()
            - table[row, greedy[g]]
        )
        rate = numbers["learning_rate"]
        if state.visits is not None:
            rate /= (visited[g][row, greedy[g]] + 1) ** numbers["power"]
        expected[g][row, greedy[g]] += rate * error
        errors.append(rate * error)
    seen = None if state.visits is None else tuple(map(jnp.asarray, visited))
    noise = jnp.full((len(tables), 2), 0.999)  # no chance, once exploration has come down
    (_, learned, _, moved), (cost, _) = jax.jit(agent.learn)(
        study.small().first, 10**6, before, tuple(map(jnp.asarray, tables)), seen,
        jnp.asarray(centre),
        Exogenous(demand=jnp.asarray(demand, jnp.float32)[:, None]), noise, jnp.float32(1.0),
    )  # fmt: skip
    assert cost == pytest.approx(total, rel=1e-5)
    for ours, wanted in zip(learned, expected):
        np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moved, centre + numbers["centring"] * np.array(errors), rtol=1e-4)


def test_exploring_starts_come_to_states_that_are_never_met():
    seen = {}
    for starts in (False, True):
        trainer = Trainer(
            agent_of(exploring_starts=starts, largest_stock=12, rollout=5, updates=60)
        )
        state, _ = trainer.advance(trainer.init(KEY), 60)
        seen[starts] = int((np.asarray(state.learner.visits[0]).sum(1) > 0).sum())
    assert seen[True] > seen[False]


# --- optima -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def optimum():
    return enumerate_states(study.small().env, study.small().first, discount=0.95)


def test_what_a_policy_costs_is_what_value_iteration_says_of_the_best(optimum):
    found = discounted_costs(optimum.mdp, optimum.orders, 0.95)
    np.testing.assert_allclose(found, optimum.value, rtol=1e-5)
    problem = study.small()
    orders = orders_in_every_state(
        problem.env, optimum.policy, optimum.grid, problem.first, jnp.asarray(optimum.params)
    )
    numbers = optimum.grid.orders.index(np.asarray(orders, int))
    np.testing.assert_allclose(discounted_costs(optimum.mdp, numbers, 0.95), found, rtol=1e-6)
    nothing = discounted_costs(optimum.mdp, np.zeros_like(numbers), 0.95)
    assert (
        nothing[0, 0] == pytest.approx(2 * 9 / 0.05, rel=1e-6) and (nothing >= found - 1e-9).all()
    )


def test_a_joint_table_comes_to_the_optimum_and_one_that_knows_less_does_not(optimum):
    short = replace(study.JOINT, updates=600)
    (joint, literal), _ = study.gaps_of(short, ({}, dict(centring=0.0)), seeds=8)
    assert joint.min() >= -1e-6 and joint.mean() < 2.0 < 10.0 < literal.mean()
    (blind,), _ = study.gaps_of(
        replace(short, learners="independent", information="own"), ({},), seeds=8
    )
    assert blind.mean() > joint.mean() + 1.0
    average = enumerate_states(study.small().env, study.small().first).cost
    assert visits(optimum.mdp, optimum.orders).cost == pytest.approx(
        average, rel=1e-6
    )  # so is the discounted policy


def test_the_papers_two_days_are_solved():
    found = study.two_days(updates=20_000)
    assert found["holds"], found


# --- as a learner -------------------------------------------------------------------------------


def test_seeds_side_by_side_are_the_seeds_one_by_one():
    agent, keys = agent_of(), jax.random.split(KEY, 3)
    many = Trainer(stack_agents([agent], 3), 3)
    state, metrics = many.advance(many.init(keys), 4)
    one = Trainer(agent)
    alone, own = one.advance(one.init(keys[2]), 4)
    np.testing.assert_allclose(state.params[0][2], alone.params[0], atol=1e-4)
    np.testing.assert_allclose(metrics["cost"][:, 2], own["cost"], rtol=1e-5)


def test_its_policy_is_judged_like_any_other():
    agent = agent_of()
    assert isinstance(agent.policy, TabularPolicy) and agent.simulated_periods == 40 * 25
    policy = Contestant("tabular_q", agent.policy, agent.init(KEY).params)  # which orders nothing
    assert costs(study.small(), policy, KEY, 4).mean() == pytest.approx(18.0, rel=0.05)


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(learners="jiont"), "learners 'jiont'.*joint"),
        (dict(information="none"), "information 'none'.*own"),
        (dict(discount=1.5), r"discount=1.5 must lie in 0\.\.1"),
        (dict(discount=-0.1), r"discount=-0.1 must lie in 0\.\.1"),
        (
            dict(discount=1.0, centring=0.0),
            "discount=1 adds up costs without end; give centring above 0",
        ),
        (dict(step=0), "step=0 must be at least 1"),
        (dict(largest_order=-1), "largest_order=-1 must be at least 0"),
        (dict(learners="independent", roles="shops"), "roles 'shops'"),
        (
            dict(largest_stock=300, largest_order=300, largest_transfer=50),
            r"90,601 states x 235,\d+,\d+ orders would take 8\d,\d+ GB; lower largest_stock",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(options, message):
    with pytest.raises(UserError, match=message):
        agent_of(**options)


def random_lead_times():
    net = jaxinv.Network(whole_units=True)
    net.supplier("factory")
    net.node(
        "shop", demand="poisson(1)", holding_cost_per_unit_period=1.0, shortage_cost_per_unit=4.0
    )
    net.edge("factory", "shop", lead_time_pmf=[0.0, 0.5, 0.5])
    return net.problem()


@pytest.mark.parametrize(
    "problem, message",
    [
        (
            random_lead_times,
            (
                "a table of values works on .* fixed lead times; it does not cover lead times that"
                " are random"
            ),
        ),
        (
            lambda: LostSales(integer_orders=False),
            r"a table of values works on whole units .* divisible orders",
        ),
        (
            lambda: LostSales(demand="normal"),
            "a table of values needs largest_stock, largest_order",
        ),
        (
            lambda: LostSales(lead_time=2, demand="seasonal"),
            "a table of values needs largest_stock",
        ),
    ],
)
def test_networks_that_no_table_holds_are_refused(problem, message):
    with pytest.raises(UserError, match=message):
        made = problem()
        TabularQ.create(made if isinstance(made, Problem) else made.build(), TabularConfig())
