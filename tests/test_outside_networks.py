"""The networks of gym-invmgmt and or-gym, told with the builder, play as their own simulators
do.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recorded.record_invmgmt import INVMGMT, orders_and_demand
from recorded.record_invmgmt import invmgmt as played_by_invmgmt

from jaxinv.demand.exogenous import Exogenous
from jaxinv.instances.invmgmt import invmgmt

pytestmark = pytest.mark.usefixtures("quick_compilation")
RECORDED = Path(__file__).parent / "recorded"
NAMES = ("on_hand", "unserved", "demand", "shipped", "profit")


def recorded(name):
    return json.loads((RECORDED / f"{name}.json").read_text())


def played(net, backlog, orders, demand):
    """The same quantities in ours."""
    env, params = (problem := net.problem()).env, problem.first
    start = env.start({"stock": jnp.zeros((env.topology.nodes, 1))}, params)

    def period(state, x):
        order, asked = x
        state, outcome = env.transition(state, order[:, None], Exogenous(asked[None, None]), params)
        unserved = state.backorder[0, 0] if backlog else outcome.short[0, 0]
        return state, (
            outcome.on_hand[:, 0],
            unserved,
            outcome.demand[0, 0],
            outcome.ordered[:, 0],
            outcome.reward,
        )

    return jax.jit(lambda *path: jax.lax.scan(period, start, path)[1])(
        jnp.asarray(orders), jnp.asarray(demand)
    )


def same(ours, theirs):
    for name, mine, other in zip(NAMES, ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-3, err_msg=name)


@pytest.mark.parametrize(
    "case", recorded("invmgmt"), ids=lambda case: " ".join(map(str, case["case"]))
)
def test_the_networks_of_gym_invmgmt_play_as_they_did_there(case):
    network, backlog, goodwill, share = case["case"]
    orders, demand = orders_and_demand(len(case["shipped"][0]), 7)
    ours = played(invmgmt(network, backlog, goodwill, share), backlog, orders, demand)
    same(ours, [case[name] for name in NAMES])
    assert max(case["unserved"]) > 0 and min(case["unserved"]) == 0
    if network == "base":  # what is asked of a factory was too much for it
        assert np.max(np.sum(np.asarray(case["shipped"])[:, 2:4], 1)) == pytest.approx(
            90.0, abs=1e-4
        )


@pytest.mark.parametrize(
    "case", recorded("or_gym"), ids=lambda case: " ".join(map(str, case["case"]))
)
def test_the_network_of_or_gym_plays_as_it_did_there(case):
    (backlog,) = case["case"]
    orders, demand = orders_and_demand(11, 11, whole=True, most=8.0)
    orders[::10, 3:7] = 300.0 * (np.arange(4) == 2)
    ours = played(invmgmt("base", backlog, shared=False), backlog, orders, demand)
    same(ours, [case[name] for name in NAMES])


@pytest.mark.parametrize("case", INVMGMT[:2], ids=str)
def test_gym_invmgmt_itself_still_plays_what_was_recorded(case):
    pytest.importorskip(
        "gym_invmgmt", reason="gym-invmgmt is not installed: pip install 'jaxinv[test]'"
    )
    then = next(one for one in recorded("invmgmt") if tuple(one["case"]) == case)
    same(played_by_invmgmt(*case), [then[name] for name in NAMES])
