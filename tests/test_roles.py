"""Roles: who sees, decides and pays, as data."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.envs.costs import COSTS, Places
from jaxinv.envs.registry import preset
from jaxinv.envs.roles import AgentRole, Roles
from jaxinv.errors import UserError

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def topology():
    return preset("one_warehouse_many_stores")(stores=2).build().env.topology


def test_every_edge_has_one_owner(topology):
    roles = Roles.named("nodes", topology, {})
    assert roles.names == ("warehouse", "store 0", "store 1")
    np.testing.assert_array_equal(roles.owners(topology), [0, 1, 2])


def test_all_for_one_is_the_reward_of_one_planner(topology):
    draw = np.random.default_rng(0)
    places = Places(
        jnp.asarray(draw.random((3, len(COSTS)))), jnp.asarray(draw.random((3, len(COSTS))))
    )
    weights = jnp.asarray(draw.random(len(COSTS)))
    total = -float((places.nodes @ weights).sum() + (places.edges @ weights).sum())
    roles = Roles.by_node(topology)
    for share in (0.0, 0.3, 1.0):
        assert float(roles.rewards(topology, weights, places, share).sum()) == pytest.approx(
            total, rel=1e-6
        )
    selfish = roles.rewards(topology, weights, places, 0.0)
    np.testing.assert_allclose(
        selfish[1], -(places.nodes[1] @ weights + places.edges[1] @ weights), rtol=1e-6
    )
    np.testing.assert_allclose(
        Roles.one(topology).rewards(topology, weights, places, 0.0), [total], rtol=1e-6
    )


@pytest.mark.parametrize(
    "agents, message",
    [
        ((AgentRole("a", (0,), (0, 1)), AgentRole("b", (1,), (1, 2))), "decided by a and b"),
        ((AgentRole("a", (0,), (0, 1)),), "decided by no role"),
        ((AgentRole("a", (0,), (0, 1, 2)), AgentRole("b", (1,))), "role b has nothing to decide"),
        ((AgentRole("a", (7,), (0, 1, 2)),), "no node 7"),
        ((AgentRole("a", (0,), (0, 1, 2), (1,)),), "has no decision there"),
        ((AgentRole("a", (0,), (0,)), AgentRole("a", (1,), (1, 2))), "a name of its own"),
        ((), "without an agent"),
    ],
)
def test_what_does_not_share_out_a_network_is_refused_by_name(topology, agents, message):
    with pytest.raises(UserError, match=message):
        Roles(agents).checked(topology)


def test_roles_in_words(topology):
    edges = (
        [f"edge {edge}" for edge in range(3)] if not topology.edge_names else topology.edge_names
    )
    roles = Roles.told(
        topology,
        {"buyer": {"decides": edges[:1]}, "shipper": {"sees": ["warehouse"], "decides": edges[1:]}},
    )
    assert roles.checked(topology).agents[1] == AgentRole(
        "shipper", (0,), (1, 2), (), (1, 2), (1, 2)
    )
    with pytest.raises(UserError, match="did you mean|unknown"):
        Roles.told(topology, {"buyer": {"decides": ["edge 9"]}})
    with pytest.raises(UserError, match="roles"):
        Roles.named("node", topology, {})
