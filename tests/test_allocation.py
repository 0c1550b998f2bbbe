"""How learned policies share out the stock of a node, and what goods left after a rollout are
worth.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.agents.diffsim import DiffSim, DiffSimConfig
from jaxinv.agents.dqn import DQN, DQNConfig
from jaxinv.envs.landed import landed_cost
from jaxinv.envs.one_warehouse import OneWarehouseManyStores
from jaxinv.envs.presets import BEER_GAME, DualSourcing, LostSales, Serial
from jaxinv.errors import UserError
from jaxinv.policies.allocation import LARGEST_LOGIT, share_out
from jaxinv.policies.decode import Decode

pytestmark = pytest.mark.usefixtures("quick_compilation")

PROBLEM = OneWarehouseManyStores(stores=3, integer_orders=False).build()
TOPOLOGY = PROBLEM.env.topology


def observation(stock):
    _, state = PROBLEM.env.reset(jax.random.key(0))
    on_hand = state.network.on_hand.at[0].set(stock)
    return PROBLEM.env.view(state.network.replace(on_hand=on_hand), PROBLEM.first, state.signals)


def rates(count=1):
    return jnp.repeat(TOPOLOGY.at_destination(PROBLEM.first.scale)[..., None], count, -1)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("seed", range(3))
def test_shares_never_exceed_the_stock(count, seed):
    raw = 8.0 * jax.random.normal(jax.random.key(seed), (TOPOLOGY.edges, 1, count))
    shared = share_out(TOPOLOGY, observation(37.0), raw, rates(count))
    assert (shared >= 0).all() and shared[0] == 0
    assert float(shared.sum()) <= 37.0 * (1 + 1e-6)


def test_shares_follow_demand_and_the_keep_logit():
    def shared(raw):
        return share_out(
            TOPOLOGY, observation(40.0), jnp.full((TOPOLOGY.edges, 1, 1), raw), rates()
        )[1:, 0]

    np.testing.assert_allclose(
        shared(0.0), 20.0 * PROBLEM.first.scale[1:, 0] / PROBLEM.first.scale[1:].sum(), rtol=1e-5
    )
    assert float(shared(-LARGEST_LOGIT).sum()) < 1e-5  # all is kept
    assert float(shared(LARGEST_LOGIT).sum()) == pytest.approx(40.0)


def test_shares_are_of_what_a_node_can_ship():
    seen = observation(40.0)
    most = jnp.full((TOPOLOGY.nodes, 1), 30.0)
    limited = seen.replace(instance=seen.instance.replace(most_shipped=most))
    raw = jax.random.normal(jax.random.key(0), (TOPOLOGY.edges, 1, 1))
    np.testing.assert_allclose(
        share_out(TOPOLOGY, limited, raw, rates()),
        share_out(TOPOLOGY, observation(30.0), raw, rates()),
    )


def test_the_gradient_of_shares_equals_finite_differences():
    raw, way = (jax.random.normal(jax.random.key(seed), (TOPOLOGY.edges, 1, 1)) for seed in (1, 2))
    weights = jnp.arange(TOPOLOGY.edges, dtype=jnp.float32)[:, None]

    def total(step):
        return jnp.sum(weights * share_out(TOPOLOGY, observation(30.0), raw + step * way, rates()))

    assert float((total(0.01) - total(-0.01)) / 0.02) == pytest.approx(
        float(jax.grad(total)(0.0)), rel=1e-2
    )


def test_edges_from_suppliers_keep_the_form():
    raw = jax.random.normal(jax.random.key(3), (TOPOLOGY.edges,))
    orders = [
        Decode(TOPOLOGY, "base", allocation)(raw, observation(30.0), rates(4))
        for allocation in ("rationing", "softmax")
    ]
    assert orders[0][0] == orders[1][0] and (orders[0][1:] != orders[1][1:]).any()


def test_what_shares_out_nothing_is_refused():
    config = DiffSimConfig(encoder="none", allocation="softmax")
    with pytest.raises(UserError, match="no edge of this network draws on a node"):
        DiffSim.create(LostSales().build(), config)
    with pytest.raises(UserError, match="order_delays"):
        DiffSim.create(Serial(**BEER_GAME).build(), config)
    with pytest.raises(UserError, match="softmax"):
        DiffSim.create(PROBLEM, dataclasses.replace(config, allocation="softmx"))
    with pytest.raises(UserError, match="a grid of orders has not"):
        DQN.create(PROBLEM, DQNConfig(encoder="none", allocation="softmax"))


def test_goods_cost_what_the_cheapest_way_in_costs():
    dual = DualSourcing().build()
    assert landed_cost(dual.env.topology, dual.first).tolist() == [[100.0]]
    chain = Serial(lead_times=(1, 2), holding_costs=(0.5, 1.0)).build()
    assert landed_cost(chain.env.topology, chain.first).tolist() == [
        [0.0],
        [1.0],
    ]  # two periods on the way at 0.5
