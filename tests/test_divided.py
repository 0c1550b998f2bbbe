"""Learners with roles: one planner as before, no agent acts on what it does not see, and each
learns from what it is rewarded with.
"""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import evaluate, train
from jaxinv.agents.loop import Trainer, check_finite
from jaxinv.agents.registry import AGENTS
from jaxinv.cli import run_command
from jaxinv.envs.network import Action
from jaxinv.envs.one_warehouse import OneWarehouseManyStores
from jaxinv.envs.presets import BEER_GAME, LostSales, Serial
from jaxinv.envs.problem import first_of
from jaxinv.envs.registry import preset
from jaxinv.envs.roles import AgentRole, Roles
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.evaluation.rollout import begin
from jaxinv.evaluation.trajectories import record
from jaxinv.exact.clark_scarf import solve_serial
from jaxinv.policies.owners import Owners
from jaxinv.policies.rules import rule_for

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIZES = dict(
    updates=10, envs=4, rollout=3, features=8, heads=2, layers=1, hidden=(8,), encoder="none"
)
OWN = {"diffsim": {}} | {
    **dict.fromkeys(("ppo", "gmrl"), dict(minibatches=2, epochs=1)),
    **dict.fromkeys(("dqn", "srdqn", "ddpg", "sac"), dict(capacity=48, batch=16, steps=2)),
}
STORES = OneWarehouseManyStores(stores=2, history=4, horizon=12)
GAME = Serial(
    **{
        **BEER_GAME,
        "demand_path": (),
        "initial_stock": (),
        "history": 4,
        "horizon": 12,
        "integer_orders": False,
    }
)
PRESETS = {
    "stores": (STORES, "nodes"),
    "beer game": (GAME, "nodes"),
    "warehouses": (preset("two_warehouses")(horizon=12, history=8), "warehouses"),
    "omnichannel": (preset("omnichannel")(stores=2, horizon=12, history=4), "stores"),
}


def agent_of(name, preset=STORES, **options):
    agent = AGENTS[name]
    return agent.create(
        preset.build(), agent.Config(**{**SIZES, "roles": "nodes", **OWN[name], **options})
    )


def moved(params, by=0.3):
    """Parameters far enough from their first values that every part of a network speaks."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    return jax.tree.unflatten(
        tree, [leaf + by * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys)]
    )


# --- one planner is what it was -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ppo", "dqn", "diffsim"])
def test_one_role_of_everything_is_one_planner_to_the_bit(name):
    problem = LostSales(lead_time=2).build()
    everyone = Roles((AgentRole("everyone", (0,), (0,), (), (0,), (0,)),))
    ends = []
    for roles, known in (("one", {}), ("mine", {"mine": everyone})):
        agent = AGENTS[name]
        made = agent.create(
            dataclasses.replace(problem, roles=known),
            agent.Config(**{**SIZES, **OWN[name], "hidden": (4,), "roles": roles}),
        )
        assert made.roles is None
        trainer = Trainer(made)
        ends.append(jax.tree.leaves(trainer.advance(trainer.init(jax.random.key(0)), 2)[0].params))
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)


def test_whose_outputs_are_whose():
    owners = Owners((0, 0, 2), 3)
    values = jnp.asarray([[1.0, 2.0, 5.0], [0.0, 1.0, 7.0]])
    np.testing.assert_allclose(owners.total(values), [[3, 0, 5], [1, 0, 7]])
    np.testing.assert_allclose(owners.mean(values), [[1.5, 0, 5], [0.5, 0, 7]])
    np.testing.assert_allclose(owners.each(jnp.asarray([[1.0, 2.0, 3.0]])), [[1, 1, 3]])
    assert Owners((0, 0, 1, 1), 2).every(2).of == (0, 1) and not Owners()
    np.testing.assert_allclose(Owners().total(values), values.sum(-1))


# --- what an agent does not see -------------------------------------------------------------------


NODE_PARTS = ("on_hand", "backorder", "returns", "goodwill", "booked")


@pytest.mark.parametrize(
    "name, where, options",
    [
        (
            "ppo",
            "stores",
            dict(encoder="transformer", form="both", forecast=2, parameters="shared"),
        ),
        ("dqn", "stores", {}),
        ("gmrl", "stores", {}),
        ("diffsim", "beer game", dict(encoder="last")),
        ("ppo", "warehouses", dict(encoder="last")),
        ("dqn", "omnichannel", dict(encoder="last")),
        ("srdqn", "beer game", dict(encoder="stack")),
    ],
)
def test_no_order_depends_on_what_its_agent_does_not_see(name, where, options):
    """Stock and demand of each node, and orders under way on each edge, are changed in turn: who
    sees none of it decides as before, and of those who do somebody decides otherwise."""
    kind, roles = PRESETS[where]
    agent = agent_of(name, kind, **options, roles=roles)
    policy, env, topology = agent.policy, agent.worlds.env, agent.worlds.env.topology
    observation = first_observation(agent)
    if name == "gmrl":  # whose nodes order nothing above s: all of them are to order
        empty = {part: 0.0 * getattr(observation, part) for part in ("on_hand", "pipeline")}
        observation = observation.replace(**empty)
    params = moved(jax.jit(policy.init)(jax.random.key(0), observation))
    decide = jax.jit(lambda observation: Action.of(policy(params, observation)))
    before, told = decide(observation), 0
    sees, owners = agent.roles.sight(topology), agent.roles.owners(topology)
    sees = np.concatenate([sees, np.zeros((len(sees), 1), bool)], 1)  # a supplier is seen by nobody
    for change, knows in changes_of(observation, env, sees):
        after = decide(change)
        blind = np.flatnonzero(~knows)
        hidden = np.isin(owners, blind)
        np.testing.assert_array_equal(after.orders[hidden], before.orders[hidden])
        moves = [np.any(after.orders != before.orders)]
        if before.dispositions is not None:
            nodes = [node for number in blind for node in agent.roles.agents[number].returns]
            np.testing.assert_array_equal(
                after.dispositions[np.asarray(nodes, int)],
                before.dispositions[np.asarray(nodes, int)],
            )
            moves.append(np.any(after.dispositions != before.dispositions))
        told += any(moves)
    assert told >= topology.nodes


def changes_of(observation, env, sees):
    """Observations with one thing changed, and which agents may know of it `[G]`."""
    topology, draw = env.topology, np.random.default_rng(0)

    def other(part, place):
        values = getattr(observation, part)
        return (
            None
            if values is None
            else values.at[place].add(
                jnp.asarray(draw.uniform(1, 9, values.shape[1:]), jnp.float32)
            )
        )

    for node in range(topology.nodes):
        owned = np.asarray([signal.owner == topology.node_names[node] for signal in env.signals])
        parts = {part: other(part, node) for part in NODE_PARTS}
        yield (
            observation.replace(
                **parts, signals=jnp.where(owned, observation.signals + 5.0, observation.signals)
            ),
            sees[:, node],
        )
    for edge, (source, end) in enumerate(zip(topology.sources, topology.destinations)):
        parts = {part: other(part, edge) for part in ("pipeline", "owed")}
        yield observation.replace(**parts), sees[:, source] | sees[:, end]
        if observation.orders is not None:
            # on their way to the source, which does not know of them yet; then known to both
            delay, orders = topology.order_delays[edge], other("orders", edge)
            there = np.arange(topology.order_memory) >= delay
            for late, knows in ((there, sees[:, source] | sees[:, end]), (~there, sees[:, end])):
                mixed = jnp.where(late, orders, observation.orders)
                yield observation.replace(orders=mixed), knows


def first_observation(agent):
    params = first_of(agent.worlds.params)
    _, state = agent.worlds.env.reset_env(jax.random.key(3), params)
    return agent.worlds.env.view(state.network, params, state.signals)


# --- rewards and gradients ------------------------------------------------------------------------


def test_what_agents_are_rewarded_with_adds_up_to_the_network():
    agent = agent_of("ppo", pathwise=False, team_share=0.25)

    def play(state):
        instance = agent.worlds.instance_params(state.index, state.episodes.key)
        _, trace, signals = agent.worlds.play_ahead(state.episodes, instance)
        return agent.play(
            state.params, jax.random.key(1), state.episodes, trace, signals, instance
        )[0]

    played = jax.jit(lambda key: play(agent.init(key)))(jax.random.key(0))
    assert played.reward.shape == (3, 3, 4)  # periods, agents, environments
    np.testing.assert_allclose(played.reward.sum(1), played.team, rtol=1e-5)
    assert float(played.reward.std(1).min()) > 0 and played.log_prob.shape == (3, 3, 4)


def own_costs(agent, params, state):
    """Mean cost a period of the network, and what each agent pays of it, by the record of an
    evaluation.
    """
    worlds = agent.worlds
    instance = first_of(worlds.params)
    episodes = begin(worlds.env, state.episodes.key, instance, worlds.batch)
    _, log = record(worlds.env, instance, agent.policy, params, episodes, worlds.periods)
    weights = instance.weights
    nodes = jnp.einsum("tncb,c->nb", log.costs.nodes, weights) / worlds.periods
    edges = jnp.einsum("tncb,c->nb", log.costs.edges, weights) / worlds.periods
    nodes, edges = nodes.mean(-1), edges.mean(-1)
    own = [
        sum((nodes[node] for node in role.pays_nodes), 0.0)
        + sum((edges[edge] for edge in role.pays_edges), 0.0)
        for role in agent.roles.agents
    ]
    return jnp.stack([nodes.sum() + edges.sum(), *own])


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_each_agent_descends_what_it_is_rewarded_with(share):
    """The gradient of diffsim against finite differences of costs as an evaluation records them,
    each agent moved alone. As a team all descend the mean cost of the network."""
    agent = agent_of(
        "diffsim",
        OneWarehouseManyStores(stores=2, horizon=12),
        envs=64,
        rollout=6,
        team_share=share,
        rounding=0.0,
    )
    state = agent.init(jax.random.key(0))
    params, agents, step = moved(state.params, 0.1), len(agent.roles), 0.02
    given = (jax.random.key(1), state.episodes, state.index, 0)
    grads = jax.jit(lambda params: agent._gradient(params, *given)[0])(params)
    losses = jax.jit(lambda params: agent.loss(params, *given)[0])(params)
    costs = jax.jit(lambda params: own_costs(agent, params, state))

    def wanted(params):
        team, *own = costs(params)
        return share * team / agents + (1 - share) * np.asarray(own)

    spread = wanted(params) / losses  # no goods were bought, so nothing but costs is in a loss
    direction = moved(jax.tree.map(jnp.zeros_like, params), 1.0)
    for number in range(agents):
        push = [
            jax.tree.map(
                lambda leaf, way: leaf.at[number].add(size * way[number]), params, direction
            )
            for size in (step, -step)
        ]
        slope = (wanted(push[0]) - wanted(push[1]))[number] / (2 * step) / spread[number]
        along = sum(
            float(jnp.vdot(grad[number], way[number]))
            for grad, way in zip(*map(jax.tree.leaves, (grads, direction)))
        )
        assert float(slope) == pytest.approx(along, rel=0.06, abs=2e-3)
    if share == 1.0:
        whole = jax.jit(jax.grad(lambda params: agent.loss(params, *given)[0].mean()))(params)
        for one, other in zip(*map(jax.tree.leaves, (whole, grads)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_shared_parameters_gather_what_each_agent_wants_of_its_own_copy():
    agent = agent_of(
        "diffsim", OneWarehouseManyStores(stores=2, horizon=12), team_share=0.0, parameters="shared"
    )
    state = agent.init(jax.random.key(0))
    params, given = moved(state.params, 0.1), (jax.random.key(1), state.episodes, state.index, 0)
    apart = agent.replace(
        policy=dataclasses.replace(agent.policy, network=agent.policy.network.clone(shared=False))
    )
    copies = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), params)
    shared, own = jax.jit(
        lambda: (agent._gradient(params, *given)[0], apart._gradient(copies, *given)[0])
    )()
    assert jax.tree.map(jnp.shape, shared) == jax.tree.map(jnp.shape, params)
    for one, other in zip(*map(jax.tree.leaves, (shared, own)), strict=True):
        np.testing.assert_allclose(one, other.sum(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted(OWN))
@pytest.mark.parametrize(
    "options", [dict(encoder="transformer"), dict(parameters="shared", information="shared")]
)
@pytest.mark.parametrize("where", ["stores", "omnichannel"])
def test_every_learner_keeps_every_shape(name, where, options):
    kind, roles = PRESETS[where]
    agent = agent_of(name, kind, roles=roles, **options)

    def shapes(key):
        state = agent.init(key)
        return state, agent.update(state)[0]

    before, after = jax.eval_shape(shapes, jax.random.key(0))
    assert before == after
    axes = {leaf.shape[:1] for leaf in jax.tree.leaves(before.params["params"]["agent"])}
    assert axes == {(len(agent.roles),)} or agent.config.parameters == "shared"


@pytest.mark.parametrize(
    "name, options",
    [("dqn", dict(team_share=0.0)), ("sac", {}), ("ppo", dict(encoder="last", forecast=2))],
)
def test_an_update_moves_every_number(name, options):
    trainer = Trainer(agent_of(name, **options))
    before = trainer.init(jax.random.key(0))
    after, metrics = trainer.advance(before, 2)
    check_finite(metrics, 0)
    moves = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), before.params, after.params)
    assert all(jax.tree.leaves(moves)), moves


def test_the_target_of_an_order_is_of_its_own_agent():
    """DQN by hand: rewards of one agent that are higher raise the targets of its own orders
    alone.
    """
    agent = agent_of("dqn", team_share=0.0)

    def errors(reward):
        state = agent.init(jax.random.key(0))
        replay = jax.tree.map(lambda leaf: leaf[:2], state.replay.items)
        seen = agent._see(
            state.params,
            state.params,
            replay.replace(reward=jnp.asarray(reward), follows=jnp.zeros(2)),
        )
        loss, metrics = agent.loss(state.params, state.params, seen, jax.random.key(0))
        q = agent.apply(state.params, "decide", seen.state, seen.stock).mean.reshape(2, 3, -1)[
            ..., 0
        ]
        return loss, q

    loss, q = jax.jit(errors)(np.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32))
    wanted = np.asarray(
        [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    )  # the action in an empty buffer is the first level
    assert float(loss) == pytest.approx(0.5 * np.mean((np.asarray(q) - wanted) ** 2), rel=1e-4)


# --- a policy like any other ----------------------------------------------------------------------


@pytest.mark.slow
def test_agents_apart_find_the_optimum_of_a_chain():
    """Each stage has a network of its own and decides its own order, on shared information: the
    optimum is Clark and Scarf's. (On its own stock alone a stage hears of demand a period late,
    which costs 8% here.)"""
    kind = Serial(lead_times=(1, 1), holding_costs=(0.3, 1.0), shortage_cost=9.0)
    problem = kind.build()
    optimum = solve_serial(problem.env, problem.first).average_cost
    agent = agent_of(
        "diffsim",
        kind,
        information="shared",
        updates=120,
        envs=64,
        rollout=40,
        learning_rate=1e-2,
        final_learning_rate=0.0,
    )
    trainer = Trainer(agent)
    state, _ = trainer.advance(trainer.init(jax.random.key(0)), 120)
    total = measure(
        problem, Contestant("agents", agent.policy, state.params), jax.random.key(1), 256
    )
    cost = -total.reward / (problem.test_periods - problem.warm_up)
    gap, error = cost.mean() / optimum - 1.0, cost.std() / np.sqrt(cost.size) / optimum
    assert -3 * error < gap < 0.02 + 2 * error


@pytest.mark.slow
def test_a_run_is_saved_and_judged_again(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxinv.evidence.LEAST_PERIODS", 100_000)
    sizes = ["updates=2", "envs=4", "rollout=4", "hidden=4", "paths=8", "rules=base_stock"]
    setting = [
        "--env",
        "one_warehouse_many_stores",
        "stores=2",
        "horizon=12",
        "agent=diffsim",
        "roles=nodes",
        "learns=[store 1]",
    ]
    train.main(
        [*setting, "partners=base_stock(level=[45, 27, 19])", *sizes, "--name", "mine", "--json"]
    )
    trained = json.loads(capsys.readouterr().out)["evaluation"][0]
    evaluate.main(["mine", "--json"])
    again = json.loads(capsys.readouterr().out)
    assert [row["cost"] for row in again if row["policy"] == "mine"] == [
        pytest.approx(trained["cost"], rel=1e-6)
    ]


# --- partners -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, rule, numbers",
    [
        ("base_stock(level=[30, 31, 32, 33])", "base_stock", dict(level=[30, 31, 32, 33])),
        (
            "anchor_and_adjust(level=17, adjustment=0.4, supply_line=0.3, smoothing=0.5)",
            "anchor_and_adjust",
            dict(level=[17] * 4, adjustment=[0.4] * 4, supply_line=[0.3] * 4, smoothing=[0.5] * 4),
        ),
    ],
)  # fmt: skip
def test_partners_order_by_their_rule_and_the_learner_does_not(text, rule, numbers):
    agent = agent_of("ppo", GAME, learns=("stage 2",), partners=text, pathwise=False)
    observation, problem = first_observation(agent), GAME.build()
    assert agent.roles.names == ("stage 2",) and agent.policy.decode.outputs == 1
    given = {name: jnp.asarray(values, jnp.float32)[:, None] for name, values in numbers.items()}
    by_rule = rule_for(problem, rule)
    units = by_rule.natural({name: jnp.ones((4, 1)) for name in given}, observation.instance)
    theirs = by_rule({name: given[name] / units[name] for name in given}, observation)

    @jax.jit
    def decided(key):
        params = agent.policy.init(key, observation)
        return params, agent.policy(params, observation)

    params, orders = decided(jax.random.key(0))
    np.testing.assert_allclose(
        orders[np.asarray([0, 1, 3])], theirs[np.asarray([0, 1, 3])], rtol=1e-4, atol=1e-4
    )
    assert abs(float(orders[2, 0] - theirs[2, 0])) > 1e-2
    assert {leaf.shape[0] for leaf in jax.tree.leaves(params)} == {1}


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(roles="node"), "roles"),
        (dict(roles="one", information="shared"), "information=shared is of several agents"),
        (dict(roles="one", team_share=0.5), "team_share=0.5 is of several agents"),
        (dict(information="all"), "information"),
        (dict(parameters="own"), "parameters"),
        (dict(team_share=2.0), "team_share=2.0 must lie in 0..1"),
        (dict(learns=("store 0",)), "leaves partners open"),
        (dict(learns=("shop",), partners="base_stock(level=9)"), "role that learns"),
        (
            dict(learns=("warehouse", "store 0", "store 1"), partners="base_stock(level=9)"),
            "names all roles",
        ),
        (dict(learns=("store 0",), partners="base_stok(level=9)"), "rule of partners"),
        (dict(learns=("store 0",), partners="base_stock(levels=9)"), "number of base_stock"),
        (dict(learns=("store 0",), partners="base_stock"), "lacks level"),
        (
            dict(learns=("store 0",), partners="base_stock(level=[1, 2])"),
            "has 2 values; give 1 or 3",
        ),
        (
            dict(learns=("store 0",), partners="base_stock(level=9"),
            "is not a rule with its numbers",
        ),
        (dict(name="ppo", pathwise=True, team_share=0.5), "descends the cost of the team"),
        (dict(name="ddpg", team_share=0.5), "give team_share=1"),
        (dict(allocation="softmax"), "takes one role that sees it"),
    ],
)
def test_mistakes_are_named(options, message):
    options = dict(options)
    with pytest.raises(UserError, match=message):
        agent_of(options.pop("name", "diffsim"), **options)


def test_a_mistake_ends_the_command_with_2(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "sys.argv", ["train", "--env", "one_warehouse_many_stores", "agent=diffsim", "roles=stors"]
    )
    with pytest.raises(SystemExit) as end:
        run_command(train.main)
    assert end.value.code == 2 and "unknown roles" in capsys.readouterr().err


# --- dispositions ---------------------------------------------------------------------------------


def test_a_grid_reads_dispositions_in_order():
    agent = agent_of("dqn", PRESETS["omnichannel"][0], roles="functions", actions=5)
    decode = agent.policy.decode
    shares = decode._dispositions(jax.nn.one_hot(jnp.arange(5), 5))
    np.testing.assert_allclose(
        shares, [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]
    )
    topology = agent.worlds.env.topology
    assert decode.returning == topology.demand_nodes
    assert decode.outputs == 5 * topology.products * (topology.edges + len(topology.demand_nodes))


def test_continuous_dispositions_are_shares_where_something_comes_back():
    agent = agent_of("diffsim", PRESETS["omnichannel"][0], roles="one")
    observation, topology = first_observation(agent), agent.worlds.env.topology
    action = jax.jit(
        lambda: agent.policy(moved(agent.policy.init(jax.random.key(0), observation)), observation)
    )()
    asked = np.isin(np.arange(topology.nodes), topology.demand_nodes)
    np.testing.assert_allclose(
        action.dispositions.sum(-1),
        np.broadcast_to(asked[:, None], action.dispositions.shape[:2]),
        atol=1e-6,
    )
    assert (
        action.orders.shape == (topology.edges, topology.products)
        and float(action.dispositions[asked].std()) > 0.01
    )
