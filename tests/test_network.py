"""The one transition: equal to an independent NumPy simulator, conserving units, with the gradients
of finite differences.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference import Period, Reference, Shipment, Stock
from slopes import slopes_of_levels

import jaxinv
from jaxinv.demand.exogenous import Exogenous
from jaxinv.envs.costs import COSTS, freight
from jaxinv.envs.network import Action, InstanceParams, NetworkState, transition
from jaxinv.envs.topology import MECHANISMS, SUPPLIER, Topology
from jaxinv.errors import UserError

EPISODES, PERIODS = 6, 9
KNIFE_EDGE = 1e-3
"""Where a rounding decision is closer than this to going the other way, float32 may take the other
side.
"""

bounded = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def compile_fast():
    """Every topology is a program of its own, which runs for microseconds."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@st.composite
def topologies(draw, most_nodes=4, channel=False):
    """Networks without cycles; every mechanism of `MECHANISMS` comes up, alone and with others.

    Args:
      channel: the last node holds no stock and sells from that of others.
    """
    nodes = draw(st.sampled_from(range(most_nodes, 0, -1)))
    ages = 1 if channel else draw(st.sampled_from([1, 1, 1, 2, 3]))
    most_suppliers = draw(st.sampled_from([1, 2]))
    edges = []
    for node in range(nodes):
        above = [SUPPLIER] if ages > 1 else [*range(node), SUPPLIER]
        chosen = draw(st.lists(st.sampled_from(above), min_size=1, max_size=most_suppliers))
        edges += [(source, node) for source in chosen]
    leads = draw(st.sampled_from(["none", "same", "mixed"] + ["random"] * (not channel)))
    lead_time = {
        "none": st.just((0,) * len(edges)),
        "same": st.integers(1, 4).map(lambda lead: (lead,) * len(edges)),
        "mixed": st.lists(st.integers(0, 4), min_size=len(edges), max_size=len(edges)).map(tuple),
        "random": st.none(),
    }[leads]
    demand_nodes = draw(st.sets(st.integers(0, nodes - 1), min_size=1))
    mechanisms = {name for name in sorted(MECHANISMS) if draw(st.booleans())}
    mechanisms |= {"unit_cost"} if "budget" in mechanisms else set()
    mechanisms -= set() if ages > 1 else {"shelf_lives"}
    backlog = draw(st.booleans())
    mechanisms -= set() if backlog else {"waiting"}
    return_lags = draw(st.sampled_from([1, 0, 1, 3, 0]))
    mechanisms |= {"resaleable"} if draw(st.sampled_from([True, True, False])) else set()
    mechanisms -= set() if return_lags else {"dispositions", "resaleable"}
    internal = any(source != SUPPLIER for source, _ in edges)
    one_supplier = len({node for _, node in edges}) == len(edges)
    delays = st.lists(st.integers(0, 2), min_size=len(edges), max_size=len(edges)).map(tuple)
    forwarded = bool(return_lags) and draw(st.booleans())
    lead_times, order_delays = (
        draw(lead_time),
        (draw(delays) if draw(st.sampled_from([True, True, False])) and one_supplier else ()),
    )
    shelves, bare, ahead = (
        range(nodes),
        set(),
        {node for node in demand_nodes if draw(st.booleans())},
    )
    if channel:
        senders = draw(st.lists(st.sampled_from([*shelves, SUPPLIER]), min_size=1, max_size=3))
        edges += [(sender, nodes) for sender in senders]
        lead_times += (0,) * len(senders)
        nodes, bare, ahead, demand_nodes = (
            nodes + 1,
            {nodes},
            ahead | {nodes},
            demand_nodes | {nodes},
        )
        order_delays += (0,) * len(senders) if order_delays and len(senders) == 1 else ()
        order_delays *= len(order_delays) == len(edges)
        internal, forwarded = False, bool(return_lags)
    return Topology(
        nodes=nodes,
        sources=tuple(source for source, _ in edges),
        destinations=tuple(destination for _, destination in edges),
        demand_nodes=tuple(sorted(demand_nodes)),
        advance_nodes=tuple(sorted(ahead)),
        storeless=tuple(sorted(bare)),
        products=draw(st.integers(1, 2)),
        lead_times=lead_times,
        max_lead_time=draw(st.integers(1, 4)) if leads == "random" else 0,
        backlog=backlog,
        internal_backlog=draw(st.sampled_from([True, True, False])) and internal,
        order_delays=order_delays,
        order_memory=draw(st.sampled_from([0, 0, 3])),
        ages=ages,
        issuing=draw(st.sampled_from(["oldest", "freshest"])),
        return_lags=return_lags,
        returns_of=draw(st.sampled_from(["demand", "sales"])) if return_lags == 1 else "sales",
        return_to=tuple(draw(st.sampled_from(shelves)) for _ in range(nodes)) if forwarded else (),
        tiers=draw(st.integers(1, 3)) if "freight" in mechanisms else 0,
        rationing=draw(st.sampled_from(["proportional", "equal_shortage", "priority"])),
        mechanisms=frozenset(mechanisms),
    )


class Episode:
    """Random numbers, stock, actions and demand for one topology, all exact in binary (eighths)."""

    def __init__(self, net: Topology, random: np.random.Generator, moving_price: bool):
        self.net = net
        nodes, edges, products, lags = net.nodes, net.edges, net.products, net.return_lags

        def eighths(low, high, *shape):
            return random.integers(8 * low, 8 * high + 1, shape) / 8

        per_node, per_edge = (nodes, products), (edges, products)
        numbers = {
            "holding": eighths(0, 2, *per_node),
            "shortage": eighths(0, 9, *per_node),
            "weights": eighths(0, 2, len(COSTS)),
            "volume": eighths(1, 3, products),
            "unit_cost": eighths(1, 5, *per_edge),
            "fixed_cost": eighths(0, 9, *per_edge),
            "freight_fixed": eighths(0, 9, edges),
            "freight_breaks": np.cumsum(eighths(1, 6, edges, net.tiers), 1) - 1.0,
            "freight_rates": eighths(0, 3, edges, net.tiers),
            "duty": eighths(0, 2, *per_edge),
            "transit_holding": eighths(0, 1, *per_edge),
            "pack_size": random.choice([1.0, 2.0, 3.0, 0.5], per_edge),
            "minimum_order": eighths(0, 7, *per_edge),
            "order_limit": eighths(2, 20, edges),
            "budget": eighths(5, 60),
            "review_period": random.integers(1, 4, edges).astype(float),
            "capacity": eighths(0, 20, nodes),
            "overflow_cost": eighths(0, 4, nodes),
            "expiry_cost": eighths(0, 4, *per_node),
            "price": eighths(1, 20, *per_node),
            "return_share": eighths(0, 1, *per_node, lags) / 4,
            "return_cost": eighths(0, 2, *per_node),
            "return_fixed_cost": eighths(0, 5, nodes),
            "liquidation_value": eighths(0, 2, *per_node),
            "loss_cost": eighths(0, 3, *per_edge),
            "shipping_capacity": eighths(2, 20, nodes),
            "processing_yield": random.choice([1.0, 0.5, 0.25], edges),
            "goodwill_growth": 1.0 + eighths(0, 1, *per_node) / 4,
            "goodwill_decay": 1.0 - eighths(0, 1, *per_node) / 2,
            "goodwill_tolerance": random.choice([0.0, 0.5, 2.0], per_node),
            "goodwill_low": eighths(0, 1, *per_node),
            "goodwill_high": 1.0 + eighths(0, 1, *per_node),
            "waiting_share": eighths(0, 1, *per_node),
        }
        if net.tiers:
            numbers["freight_breaks"][:, 0] = 0.0
        numbers["resaleable_share"] = eighths(0, 1, *per_node)
        numbers["restock_share"] = eighths(0, 1, *per_node) / 2
        numbers["forward_share"] = eighths(0, 1, *per_node) / 2
        self.dispositions = eighths(-1, 2, PERIODS, *per_node, 3)
        self.numbers = numbers
        self.actions = eighths(-2, 12, PERIODS, *per_edge) * (
            random.random((PERIODS, *per_edge)) < 0.8
        )
        self.demand = eighths(0, 10, PERIODS, len(net.demand_nodes), products)
        self.lead_time = random.integers(0, net.max_lead_time + 1, (PERIODS, edges)).astype(float)
        self.arrival = eighths(0, 1, PERIODS, edges) * (random.random((PERIODS, edges)) < 0.8)
        self.arriving = eighths(0, 1, edges, net.slots)
        self.price = eighths(1, 20, PERIODS, *per_node) if moving_price else None
        self.goods = eighths(0, 12, *per_node, net.ages) * ~net.among(net.storeless)[..., None]
        numbers["shelf_life"] = random.integers(0, net.ages + 1, per_node).astype(float)
        if net.has("shelf_lives"):  # none is older or younger than its kind can be
            life = numbers["shelf_life"][..., None]
            age = np.arange(net.ages)
            self.goods *= np.where(life > 0, age < life, age == net.ages - 1)
        self.booked = eighths(0, 9, *per_node) * net.among(net.advance_nodes)
        self.owed = eighths(0, 5, *per_node) * np.isin(np.arange(nodes), net.demand_nodes)[:, None]
        self.sales = eighths(0, 9, *per_node, lags)
        internal = np.array([source != SUPPLIER for source in net.sources])
        self.unshipped = eighths(0, 4, *per_edge) * internal[:, None]
        self.orders = eighths(0, 9, *per_edge, net.order_memory)
        self.goodwill = eighths(0, 2, *per_node)
        leads = random.integers(0, net.max_lead_time + 1, (edges, net.slots))
        self.due = (
            leads if net.random_lead_time else np.tile(np.array(net.lead_times)[:, None], net.slots)
        )
        open_slots = np.arange(1, net.slots + 1) + (not net.has("orders_first")) <= self.due
        self.pipeline = eighths(0, 9, *per_edge, net.slots) * open_slots[:, None, :]
        numbers["order_days"] = random.integers(0, 2, (PERIODS, edges)).astype(float)

    def arrays(self):
        """The same as the package takes it."""
        net = self.net
        state = NetworkState(
            time=0,
            on_hand=self.goods if net.ages > 1 else self.goods[..., 0],
            pipeline=self.pipeline,
            due=self.due.astype(float) if net.random_lead_time else None,
            arriving=self.arriving if net.has("arrivals") else None,
            backorder=self.owed if net.backlog else None,
            owed=self.unshipped if net.internal_backlog else None,
            orders=self.orders if net.order_memory else None,
            sales=self.sales if net.return_lags and net.returns_of == "sales" else None,
            goodwill=self.goodwill if net.has("goodwill") else None,
            booked=self.booked if net.advance_nodes else None,
        )
        exogenous = Exogenous(
            demand=self.demand, lead_time=self.lead_time if net.random_lead_time else None,
            price=self.price,
            arrival=self.arrival if net.has("arrivals") else None,
            open=self.numbers["order_days"] if net.has("calendar") else None,
        )  # fmt: skip
        dispositions = self.dispositions if net.has("dispositions") else None
        return state, Action(self.actions, dispositions), exogenous, InstanceParams(**self.numbers)

    def stock(self) -> Stock:
        """The same as the reference takes it."""
        shipments = [
            Shipment(
                edge,
                product,
                self.pipeline[edge, product, slot],
                -slot - 1,
                int(self.due[edge, slot]) - slot - 1,
                self.arriving[edge, slot] if self.net.has("arrivals") else 1.0,
            )
            for edge in range(self.net.edges)
            for product in range(self.net.products)
            for slot in range(self.net.slots)
        ]
        past = [self.sales[..., lag].copy() for lag in range(self.net.return_lags)]
        slips = [self.orders[..., slot].copy() for slot in reversed(range(self.net.order_memory))]
        owed = self.owed.copy() if self.net.backlog else None
        book = {
            (node, k): self.booked[node, k]
            for node in self.net.advance_nodes
            for k in range(self.net.products)
        }
        return Stock(
            0,
            self.goods.copy(),
            shipments,
            owed,
            past,
            self.unshipped.copy(),
            slips,
            self.goodwill.copy(),
            book,
        )


def episodes(net: Topology, seed: int) -> list[Episode]:
    random = np.random.default_rng(seed)
    return [Episode(net, random, moving_price=seed % 2 == 0) for _ in range(EPISODES)]


def simulated(net: Topology, every: list[Episode]):
    """States before each period and outcomes, `[EPISODES, PERIODS, ...]`, in one compiled
    program.
    """

    def play(state, actions, exogenous, params):
        def period(state, x):
            after, outcome = transition(net, state, *x, params)
            return after, (state, outcome)

        last, (states, outcomes) = jax.lax.scan(period, state, (actions, exogenous))
        every = jax.tree.map(lambda path, end: jnp.concatenate([path, end[None]]), states, last)
        return every, outcomes

    stacked = jax.tree.map(
        lambda *leaves: np.stack(leaves), *[episode.arrays() for episode in every]
    )
    stacked = jax.tree.map(
        lambda leaf: jnp.asarray(leaf, jnp.int32 if leaf.dtype == int else jnp.float32), stacked
    )
    return jax.device_get(jax.jit(jax.vmap(play))(*stacked))


def pick(tree, *index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


@settings(bounded, max_examples=24)
@given(topologies(), st.integers(0, 2**16))
def test_transition_equals_the_reference(net, seed):
    equals_the_reference(net, seed)


@settings(bounded, max_examples=10)
@given(topologies(most_nodes=3, channel=True), st.integers(0, 2**16))
def test_transition_with_a_channel_that_holds_no_stock_equals_the_reference(net, seed):
    equals_the_reference(net, seed)


def equals_the_reference(net, seed):
    every = episodes(net, seed)
    states, outcomes = simulated(net, every)
    for e, episode in enumerate(every):
        reference, stock = Reference(net, episode.numbers), episode.stock()
        for t in range(PERIODS):
            lead_time = episode.lead_time[t] if net.random_lead_time else None
            price = None if episode.price is None else episode.price[t]
            dispositions = episode.dispositions[t] if net.has("dispositions") else None
            arrival = episode.arrival[t] if net.has("arrivals") else None
            period = reference.play(
                stock,
                episode.actions[t],
                episode.demand[t],
                lead_time,
                price,
                dispositions,
                arrival,
            )
            if period.margin < KNIFE_EDGE:
                break
            same_outcome(net, pick(outcomes, e, t), period, episode, t)
            same_state(net, pick(states, e, t + 1), stock)


def same_outcome(net, ours, theirs: Period, episode, t):
    close = dict(rtol=1e-5, atol=1e-4)
    for name in (
        "ordered",
        "demand",
        "sold",
        "short",
        "on_hand",
        "expired",
        "returned",
        "liquidated",
        "lost",
    ):
        np.testing.assert_allclose(
            getattr(ours, name), getattr(theirs, name), **close, err_msg=f"{name}, period {t}"
        )
    costs = [theirs.costs[name] for name in COSTS]
    np.testing.assert_allclose(
        ours.costs, costs, rtol=1e-5, atol=2e-3, err_msg=f"costs, period {t}"
    )
    nodes = np.stack([theirs.by_node[name] for name in COSTS], -1)
    edges = np.stack([theirs.by_edge[name] for name in COSTS], -1)
    np.testing.assert_allclose(
        ours.places.nodes, nodes, rtol=1e-5, atol=2e-3, err_msg=f"places, period {t}"
    )
    np.testing.assert_allclose(
        ours.places.edges, edges, rtol=1e-5, atol=2e-3, err_msg=f"places, period {t}"
    )
    reward = -float(np.dot(costs, episode.numbers["weights"]))
    assert ours.reward == pytest.approx(reward, rel=1e-5, abs=5e-3)
    if not net.has("goodwill"):
        placed = np.zeros((net.nodes, net.products))
        placed[list(net.demand_nodes)] = episode.demand[t]
        before = episode.booked[list(net.demand_nodes)] if t == 0 else episode.demand[t - 1]
        ahead = np.isin(net.demand_nodes, net.advance_nodes)
        placed[list(net.advance_nodes)] = before[ahead]
        np.testing.assert_array_equal(ours.demand, placed)


def same_state(net, ours, stock: Stock):
    close = dict(rtol=1e-5, atol=1e-4)
    goods = stock.goods if net.ages > 1 else stock.goods[..., 0]
    pipeline = np.zeros((net.edges, net.products, net.slots))
    for shipment in stock.shipments:
        pipeline[shipment.edge, shipment.product, stock.time - shipment.ordered_at - 1] += (
            shipment.quantity
        )
    assert ours.time == stock.time
    np.testing.assert_allclose(ours.on_hand, goods, **close)
    np.testing.assert_allclose(ours.pipeline, pipeline, **close)
    if net.backlog:
        np.testing.assert_allclose(ours.backorder, stock.owed, **close)
    if net.internal_backlog:
        np.testing.assert_allclose(ours.owed, stock.unshipped, **close)
    if net.order_memory:
        np.testing.assert_allclose(
            ours.orders, np.stack(stock.slips[: -net.order_memory - 1 : -1], -1), **close
        )
    if net.return_lags and net.returns_of == "sales":
        np.testing.assert_allclose(ours.sales, np.stack(stock.past_sales, -1), **close)
    if net.has("goodwill"):
        np.testing.assert_allclose(ours.goodwill, stock.goodwill, **close)
    for (node, product), ordered in stock.order_book.items():
        np.testing.assert_allclose(ours.booked[node, product], ordered, **close)


@settings(bounded, max_examples=16)
@given(topologies(most_nodes=6) | topologies(channel=True), st.integers(0, 2**16))
def test_units_are_conserved_and_none_ships_what_it_lacks(net, seed):
    """Over whole episodes, product by product: what came in is what is there or went out."""
    every = episodes(net, seed)
    states, outcomes = simulated(net, every)
    needed = np.ones((EPISODES, 1, net.edges, 1))  # units that are taken for each that is shipped
    if net.has("processing_yield"):
        needed = (
            1
            / np.stack([episode.numbers["processing_yield"] for episode in every])[:, None, :, None]
        )

    def over_network(per_place):  # [EPISODES, PERIODS, places, K] -> [EPISODES, K]
        return per_place.astype(float).sum((1, 2))

    def held(state):  # on hand and on the way [EPISODES, K]
        on_hand = state.on_hand.sum(-1) if net.ages > 1 else state.on_hand
        return on_hand.astype(float).sum(1) + state.pipeline.astype(float).sum((1, 3))

    first, last = (jax.tree.map(lambda leaf: leaf[:, t], states) for t in (0, -1))
    taken = outcomes.ordered * needed
    bought = taken[:, :, [source == SUPPLIER for source in net.sources]]
    received = held(first) + over_network(bought) + over_network(outcomes.returned)
    gone = (outcomes.sold, outcomes.expired, outcomes.liquidated, outcomes.lost)
    left = held(last) + sum(map(over_network, gone))
    np.testing.assert_allclose(received, left, rtol=1e-5)

    demand, sold = over_network(outcomes.demand), over_network(outcomes.sold)
    if net.has("waiting"):  # of those who are owed, only a share comes again
        waits = np.stack([episode.numbers["waiting_share"] for episode in every])[:, None]
        owed = states.backorder.astype(float)
        asked = owed[:, :-1] + outcomes.demand.astype(float) - outcomes.sold.astype(float)
        np.testing.assert_allclose(owed[:, 1:], waits * asked, rtol=1e-5, atol=1e-3)
    elif net.backlog:
        owed = states.backorder.astype(float).sum(2)
        np.testing.assert_allclose(owed[:, 0] + demand, sold + owed[:, -1], rtol=1e-5)
    else:
        np.testing.assert_allclose(demand, sold + over_network(outcomes.short), rtol=1e-5)
    if net.has("shelf_lives"):  # and nothing spoils that keeps for ever
        keeps = np.stack([episode.numbers["shelf_life"] for episode in every]) == 0
        assert not np.any(outcomes.expired * keeps[:, None])
    for amount in jax.tree.leaves(
        (states, outcomes.ordered, outcomes.sold, outcomes.short, outcomes.expired, outcomes.lost)
    ):
        assert np.all(amount >= 0)
    assert not states.on_hand[:, :, list(net.storeless)].any()
    for node in range(net.nodes):  # and no node ships more than it held
        shipped = taken[:, :, [source == node for source in net.sources]].sum(2)
        stock = states.on_hand[:, :-1, node]
        assert np.all(shipped <= (stock.sum(-1) if net.ages > 1 else stock) * (1 + 1e-5) + 1e-4)


def test_rationing_leaves_no_dust_that_pays_a_fixed_cost():
    """Thirds of a stock do not add up to it in float32; the remainder must not be shipped as an
    order of its own.
    """
    net = Topology(
        nodes=4,
        sources=(0, 0, 0),
        destinations=(1, 2, 3),
        demand_nodes=(1, 2, 3),
        lead_times=(1, 1, 1),
        mechanisms=frozenset({"fixed_cost"}),
    )
    params = InstanceParams(
        holding=jnp.zeros((4, 1)),
        shortage=jnp.zeros((4, 1)),
        weights=jnp.ones(len(COSTS)),
        fixed_cost=jnp.ones((3, 1)),
    )
    stocks = jnp.linspace(0.1, 50.0, 500)
    start = jax.vmap(
        lambda stock: NetworkState(
            jnp.int32(0), jnp.zeros((4, 1)).at[0].set(stock), jnp.zeros((3, 1, 0))
        )
    )
    wish = jnp.array([[51.0], [52.0], [57.0]])
    step = jax.vmap(
        lambda state: transition(net, state, wish, Exogenous(jnp.zeros((3, 1))), params)
    )
    state, outcome = step(start(stocks))
    np.testing.assert_allclose(outcome.ordered.sum((1, 2)), stocks, rtol=1e-5)
    assert np.all(step(state)[1].costs[:, COSTS.index("ordering")] == 0)


def test_a_minimum_order_is_whole_packs_and_survives_an_exact_cut():
    net = Topology(
        nodes=1, sources=(SUPPLIER,), destinations=(0,), demand_nodes=(0,), products=2,
        lead_times=(1,),
        mechanisms=frozenset({"packs", "minimum_order", "order_limit"}),
    )  # fmt: skip
    params = InstanceParams(
        holding=jnp.zeros((1, 2)), shortage=jnp.zeros((1, 2)), weights=jnp.ones(len(COSTS)),
        volume=jnp.ones(2),
        pack_size=jnp.array([[6.0, 1.0]]), minimum_order=jnp.array([[10.0, 7.0]]),
        order_limit=jnp.array([60.0]),
    )  # fmt: skip
    state = NetworkState(jnp.int32(0), jnp.zeros((1, 2)), jnp.zeros((1, 2, 0)))

    def ordered(*wish, limit=60.0):
        instance = params.replace(order_limit=jnp.array([limit]))
        return (
            transition(net, state, jnp.array([wish]), Exogenous(jnp.zeros((1, 2))), instance)[1]
            .ordered[0]
            .tolist()
        )

    assert ordered(7.0, 0.0) == [12.0, 0.0]  # one pack is half of the least two
    assert ordered(2.9, 3.0) == [0.0, 0.0]
    assert ordered(14.0, 3.6) == [12.0, 7.0]
    for ordinary in range(
        8, 60
    ):  # cut back to exactly the minimum of 7, whatever the rounding of the quotient
        assert ordered(0.0, float(ordinary), limit=7.0) == [0.0, 7.0]


# Gradients


CONTINUOUS = {
    "lost_sales": dict(demand="normal", mean=5.0, integer_orders=False),
    "backlog": dict(demand="truncated_normal", mean=5.0, lead_time=2, integer_orders=False),
    "serial": dict(lead_times=(2, 1, 2), holding_costs=(0.25, 0.5, 1.0)),
    "one_warehouse_many_stores": dict(stores=3),
    "one_warehouse_many_stores, equal shortage": dict(stores=3, rationing="equal_shortage"),
    "serial, orders owed and delayed": dict(
        lead_times=(2, 1, 2),
        holding_costs=(0.25, 0.5, 1.0),
        internal_backlog=True,
        order_delays=(1, 0, 2),
        internal_shortage_cost=0.7,
    ),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_gradient_of_a_level_equals_finite_differences(name):
    """Costs are piecewise linear in the levels, so away from kinks a central difference is exact
    but for rounding.
    """
    env, params = jaxinv.make(name.split(",")[0], **CONTINUOUS[name])
    levels = jnp.full((env.topology.edges, 1), 1.1) + 0.03 * jnp.arange(env.topology.edges)[:, None]
    slope, along, difference = slopes_of_levels(env, params, levels)
    assert np.all(np.abs(slope) > 1e-3)
    np.testing.assert_allclose(difference, along, rtol=0.02, atol=0.01 * np.abs(slope).max())


def test_gradient_passes_through_packs_as_if_they_were_divisible():
    env, params = jaxinv.make("lost_sales", lead_time=1)
    loose = env.relaxed()
    state = NetworkState(jnp.int32(0), jnp.full((1, 1), 3.0), jnp.zeros((1, 1, 0)))
    exogenous = Exogenous(jnp.ones((1, 1)))

    def next_stock(env):
        return lambda order: env.transition(state, jnp.full((1, 1), order), exogenous, params)[
            0
        ].on_hand[0, 0]

    assert next_stock(env)(2.4) == 4.0 and next_stock(loose)(2.4) == pytest.approx(4.4)
    assert jax.grad(next_stock(env))(2.4) == jax.grad(next_stock(loose))(2.4) == 1.0


# What is refused


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(destinations=(0, 3)), "edge 0->3"),
        (dict(destinations=(0, 0)), "edge 0->0"),
        (dict(lead_times=(1,)), "2 edges but 1 lead times"),
        (dict(lead_times=(1, -1)), "0 or more"),
        (dict(lead_times=None, max_lead_time=0), "max_lead_time 0"),
        (dict(demand_nodes=()), "at least one node"),
        (dict(demand_nodes=(2,)), "must lie in 0..1"),
        (dict(mechanisms=frozenset({"pakcs"})), "packs"),
        (dict(rationing="fair"), "rationing"),
        (dict(issuing="newest"), "issuing"),
        (dict(ages=2), "one echelon"),
        (dict(mechanisms=frozenset({"shelf_lives"})), "ages of 2"),
        (dict(order_delays=(1,)), "2 edges but 1 order_delays"),
        (dict(order_delays=(0, -1)), "0 or more"),
        (
            dict(sources=(SUPPLIER, SUPPLIER), destinations=(0, 0), order_delays=(1, 1)),
            "one supplier",
        ),
        (dict(sources=(SUPPLIER,) * 2, internal_backlog=True), "between two nodes"),
        (dict(tiers=2), "freight"),
        (dict(return_lags=1, return_to=(0,)), "one node per node"),
        (dict(return_lags=1, return_to=(0, -1)), "must lie in 0..1"),
        (dict(return_lags=2, returns_of="demand"), "return_lags=1"),
        (dict(return_lags=1, returns_of="orders"), "returns_of"),
        (dict(mechanisms=frozenset({"resaleable"})), "share of returns"),
        (dict(advance_nodes=(0,)), "among demand_nodes"),
        (dict(storeless=(1,)), "among advance_nodes"),
        (dict(advance_nodes=(1,), storeless=(1,)), "lead time must be 0"),
        (
            dict(advance_nodes=(1,), storeless=(1,), lead_times=None, max_lead_time=2),
            "lead time must be 0",
        ),
        (
            dict(advance_nodes=(1,), storeless=(1,), lead_times=(2, 0), order_delays=(0, 1)),
            "no order_delays",
        ),
        (
            dict(advance_nodes=(1,), storeless=(1,), lead_times=(2, 0), internal_backlog=True),
            "internal_backlog",
        ),
        (
            dict(advance_nodes=(1,), storeless=(1,), lead_times=(2, 0), return_lags=1),
            "holds no stock",
        ),
        (
            dict(
                advance_nodes=(1,),
                storeless=(1,),
                lead_times=(2, 0),
                return_lags=1,
                return_to=(1, 0),
            ),
            "holds no stock",
        ),
        (
            dict(demand_nodes=(0, 1), advance_nodes=(0, 1), storeless=(0,), lead_times=(0, 0)),
            "leaves a node",
        ),
    ],
)
def test_a_topology_that_means_nothing_is_refused(change, message):
    good = Topology(
        nodes=2, sources=(SUPPLIER, 0), destinations=(0, 1), demand_nodes=(1,), lead_times=(2, 1)
    )
    with pytest.raises(UserError, match=message):
        replace(good, **change)


def test_the_echelon_of_a_node_is_what_it_supplies():
    net = Topology(
        nodes=4, sources=(SUPPLIER, 0, 1, 3, 1), destinations=(0, 1, 2, 2, 3), demand_nodes=(2,),
        lead_times=(1,) * 5, lateral=(3,),
    )  # fmt: skip
    assert net.echelon.tolist() == [[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 1]]


def test_a_freight_tier_that_starts_at_infinity_is_not_there():
    def cost(quantity, breaks, rates):
        tariff = InstanceParams(
            freight_fixed=jnp.zeros(1),
            freight_breaks=jnp.array([breaks]),
            freight_rates=jnp.array([rates]),
        )
        return freight(quantity, tariff)[0]

    for quantity, expected in ((0.0, 0.0), (5.0, 15.0), (12.0, 34.0)):
        quantity = jnp.array([quantity])
        assert cost(quantity, [0.0, 10.0], [3.0, 2.0]) == expected
        padded = [0.0, 10.0, jnp.inf, jnp.inf], [3.0, 2.0, 1.0, 1.0]
        assert cost(quantity, *padded) == expected
        assert jnp.isfinite(jax.grad(cost)(quantity, *padded)).all()
