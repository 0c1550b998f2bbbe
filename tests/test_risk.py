"""Risks and costs of orders, beside closed forms and a plain simulation in NumPy."""

import dataclasses

import numpy as np
import pytest
from mornings import rule, shop, today_of_network
from scipy.stats import poisson

import jaxinv
from jaxinv.orders.lines import Acting, lines_of
from jaxinv.orders.risk import CASES, line_risks

pytestmark = pytest.mark.usefixtures("quick_compilation")


class Drawn:
    """Demand paths from a law that is told."""

    def __init__(self, paths):
        self.made = np.asarray(paths, np.float32)  # [P, S, H, D]
        self.horizon = self.made.shape[2]

    def paths(self, rows, count):
        return self.made[:count][:, rows]

    def base(self, rows):
        return self.made[:, rows].mean(0)

    plain = base


def poisson_paths(mean, count, size, periods, places=1, seed=0):
    return Drawn(np.random.default_rng(seed).poisson(mean, (count, size, periods, places)))


def orders_of(today, **numbers):
    acting = Acting.of(rule(today, **numbers), len(today.skus))
    return acting, lines_of(today, acting)


def test_risks_are_the_newsvendors():
    """Without an order the risk until the next could be here is that demand of lead time and review
    exceeds the stock.
    """
    stock = np.array([8.0, 12.0, 16.0, 20.0])
    today = shop(np.full((4, 80), 5.0), stock, lead=2)
    _, lines = orders_of(today, level=1.2)
    found = line_risks(today, lines, poisson_paths(5.0, 4096, 4, 10), paths=4096)
    without = poisson.sf(stock, 15.0)
    before = poisson.sf(stock, 10.0)
    error = 4 * np.sqrt(np.maximum(without * (1 - without), 0.01) / 4096)
    assert np.all(np.abs(found.risk_without[:, 0, 0] - without) < error)
    assert np.all(np.abs(found.risk_before[:, 0, 0] - before) < error)
    # with the order: short before it is here, or over the whole cover of all that is there then
    demand = np.random.default_rng(0).poisson(5.0, (4096, 4, 10, 1))[..., 0]
    total = demand.cumsum(-1)
    left = np.maximum(stock - total[..., 1], 0)
    with_order = (total[..., 1] > stock) | (demand[..., 2] > left + lines.quantity[:, 0, 0])
    assert np.allclose(found.risk_with[:, 0, 0], with_order.mean(0), atol=1e-6)
    assert np.all(found.risk_with <= found.risk_without)
    assert np.allclose(found.forecast[:, 0, 0], 15, atol=1.01)
    assert np.allclose(found.mean[:, 0, 0], 15, atol=0.3)


def by_hand(
    demand, stock, coming, lead, pack, holding, shortage, price, first, level, lowered, until
):
    """Costs of one path of the single shop with lost sales: `coming` is the pipeline, the latest
    order first.
    """
    pipeline, cost = list(coming), 0.0
    for time, wanted in enumerate(demand):
        target = level - (lowered if time < until else 0.0)
        position = stock + sum(pipeline)
        order = first if time == 0 else pack * np.round(max(target - position, 0.0) / pack)
        pipeline = [order, *pipeline]
        sold = min(stock, wanted)
        stock -= sold
        cost += holding * stock + shortage * (wanted - sold) + price * order
        stock += pipeline.pop() if len(pipeline) >= lead else 0.0
    return cost - price * (stock + sum(pipeline))


def test_costs_of_other_orders_are_those_of_a_simulation_by_hand():
    lead, pack = 3, 4.0
    stock, pipeline = np.array([9.0, 30.0, 2.0]), np.array([[4.0, 0.0], [0.0, 8.0], [12.0, 4.0]])
    today = shop(
        np.full((3, 80), 5.0),
        stock,
        lead=lead,
        pack=pack,
        pipeline=pipeline[:, None, None],
        holding=1.0,
        shortage=7.0,
        cost=2.0,
    )
    _, lines = orders_of(today, level=2.2)
    futures = poisson_paths(5.0, 16, 3, 14, seed=4)
    found = line_risks(today, lines, futures, paths=16)
    assert np.all(lines.quantity > 0) and np.all(lines.cover == lead + 1)
    for number in range(3):
        ordered, level = lines.quantity[number, 0, 0], lines.target[number, 0, 0]
        level = max(level, lines.position[number, 0, 0] + ordered)
        first = {
            "nothing": 0.0,
            "pack_less": ordered - pack,
            "pack_more": ordered + pack,
            "review_later": 0.0,
        }

        def cost(first, lowered=0.0, until=0):
            numbers = (
                stock[number],
                pipeline[number],
                lead,
                pack,
                1.0,
                7.0,
                2.0,
                first,
                level,
                lowered,
                until,
            )
            return np.mean([by_hand(path, *numbers) for path in futures.made[:, number, :, 0]])

        base = cost(ordered)
        for name in CASES:
            other = cost(first[name], ordered, lead + 1) if name == "nothing" else cost(first[name])
            assert found.cost(name)[number, 0, 0] == pytest.approx(other - base, abs=2e-3), (
                name,
                number,
            )


def test_orders_under_way_take_what_is_left_of_their_law():
    """An order placed two periods ago that is not here takes 3 or 4 periods, as often as the law
    says of what is left.
    """
    pmf = (0.0, 0.2, 0.2, 0.45, 0.15)
    pipeline = np.zeros((1, 1, 1, 3))
    pipeline[..., 1] = 50.0  # ordered two periods ago
    today = shop(np.full((1, 80), 5.0), [5.0], pipeline=pipeline, pmf=pmf)
    _, lines = orders_of(today, level=0.0)
    demand = np.zeros((4000, 1, 8, 1))
    demand[:, :, :2] = 5.0  # the shelf is empty after the first period
    found = line_risks(today, lines, Drawn(demand), paths=4000)
    late = pmf[4] / (pmf[3] + pmf[4])
    assert found.risk_without[0, 0, 0] == pytest.approx(late, abs=0.03)


def test_lines_of_a_network():
    """Of a warehouse and two stores: transfers are cut to what is there, and a missing delivery
    makes the warehouse short.
    """
    net = jaxinv.Network(instances=2, whole_units=True)
    net.supplier("mill")
    costs = dict(holding_cost_per_unit_period=1.0)
    net.node("warehouse", typical_demand_units_per_period=10.0, **costs)
    for store in ("north", "south"):
        net.node(
            store,
            demand=True,
            typical_demand_units_per_period=5.0,
            shortage_cost_per_unit=9.0,
            **costs,
        )
    net.edge("mill", "warehouse", lead_time_periods=2)
    net.edge("warehouse", "north", lead_time_periods=1)
    net.edge("warehouse", "south", lead_time_periods=1)
    today = today_of_network(
        net, np.full((2, 80, 2), 5.0), np.array([[6.0, 2.0, 14.0], [60.0, 7.0, 7.0]])
    )
    acting, lines = orders_of(today, name="echelon_base_stock", level=1.3)
    names = list(zip(today.sources[0], today.destinations[0]))
    assert names == [("supplier", "warehouse"), ("warehouse", "north"), ("warehouse", "south")]
    assert lines.quantity[0, 1:].sum() <= 6 and lines.asked[0, 1, 0] > lines.quantity[0, 1, 0]
    kept = dataclasses.replace(today, promised=np.array([[4.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    left = orders_of(kept, name="echelon_base_stock", level=1.3)[1]
    assert left.quantity[0, 1:].sum() == 2 and (left.quantity[:, 0] == lines.quantity[:, 0]).all()
    for number, label in enumerate(
        today.problem.labels
    ):  # the same as one asks the policy for by itself
        by_itself = acting.deciders[0].order(
            stock=np.asarray(today.state.on_hand)[number, :, 0],
            pipeline=np.zeros((3, 1, 1)),
            series=label,
        )
        assert np.allclose(by_itself, lines.quantity[number])
    found = line_risks(today, lines, poisson_paths(5.0, 512, 2, 12, places=2), paths=512)
    assert np.all(found.risk_with <= found.risk_without + 1e-6)
    north = (found.risk_without - found.risk_with)[:, 1, 0]
    assert north[1] > 0.3  # what the warehouse sends is what it lives on
    assert found.risk_without[0, 0, 0] > 0.9  # 6 units for two stores that sell 10 a period
    assert np.nanmin(found.cost("nothing")[1]) > 0
    assert np.allclose(
        found.mean[:, 0, 0], 30 + 0 * found.mean[:, 0, 0], atol=1.0
    )  # cover 3, both stores
    assert found.cost("nothing")[1, 2, 0] > found.cost("review_later")[1, 2, 0] - 1e-3


def test_closed_days_are_kept():
    """With orders every third period the cover is longer, and a review later is three periods
    later.
    """
    calendar = np.zeros((2, 1, 16), bool)
    calendar[:, :, ::3] = True
    today = shop(np.full((2, 80), 5.0), [5.0, 18.0], lead=2, calendar=calendar)
    _, lines = orders_of(today, level=2.0)
    assert np.all(lines.cover == 5)
    always = shop(np.full((2, 80), 5.0), [5.0, 18.0], lead=2)
    futures = poisson_paths(5.0, 256, 2, 12)
    found, other = (
        line_risks(today, lines, futures, paths=256),
        line_risks(always, orders_of(always, level=2.0)[1], futures, paths=256),
    )
    assert np.all(found.cost("review_later") > other.cost("review_later"))
    closed = np.zeros((2, 1, 16), bool)
    closed[:, :, 1::3] = True
    today = shop(np.full((2, 80), 5.0), [5.0, 18.0], lead=2, calendar=closed)
    assert not orders_of(today, level=2.0)[1].quantity.any()
