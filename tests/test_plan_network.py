"""The world of a shop's own files: `network`, its ways, costs, calendars, and where it stands
today.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from shop import make_shop

from jaxinv.demand.exogenous import Exogenous
from jaxinv.envs.plan_network import PlanNetwork
from jaxinv.envs.shop import own_min_max
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import measure
from jaxinv.evidence import theirs_of
from jaxinv.keys import root
from jaxinv.orders.lines import Acting
from jaxinv.orders.order_list import make_list, prices
from jaxinv.orders.today import today_of
from jaxinv.policies.decider import Decider
from jaxinv.policies.rules import rule_for

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Two warehouses with a store each, by day, and what its world is made of."""
    made = make_shop(tmp_path_factory.mktemp("shop"), stores=2, skus=6, weeks=60, style="plain")
    preset = PlanNetwork(data=str(made.folder), train=0.7)
    world = preset.shop()
    return made, preset, world, preset.problem_of(world)


def weekly(folder, lanes="", weeks=100, items="", **more):
    """Sales of three SKUs by week, and tables beside them."""
    rng = np.random.default_rng(0)
    mondays = pd.date_range("2022-01-03", periods=weeks, freq="7D")
    rows = [
        (day.date(), sku, rng.poisson(mean))
        for day in mondays
        for sku, mean in (("a", 5), ("b", 20), ("c", 2))
    ]
    pd.DataFrame(rows, columns=["date", "sku", "sales"]).to_csv(folder / "sales.csv", index=False)
    for name, text in {"lanes": lanes, "items": items, **more}.items():
        if text:
            (folder / f"{name}.csv").write_text(text)
    return PlanNetwork(data=str(folder))


# Periods


def test_weeks_of_daily_sales_end_with_the_sales(tmp_path):
    """Sold until a Thursday: weeks begin on Fridays, none of its days is left out, and the list is
    of that Friday.
    """
    days = pd.date_range("2022-01-03", "2023-11-09")
    sales = pd.DataFrame({"date": days.date, "sku": "a", "sales": np.arange(len(days)) % 9})
    sales.to_csv(tmp_path / "sales.csv", index=False)
    (tmp_path / "stock.csv").write_text("sku,stock\na,5\n")
    preset = PlanNetwork(data=str(tmp_path), frequency="week")
    world = preset.shop()
    dates = world.panel.dates.astype("datetime64[D]")
    assert dates[0] == np.datetime64("2022-01-07") and dates[-1] == np.datetime64("2023-11-03")
    assert world.panel.sales[0, -1] == sales["sales"].iloc[-7:].sum()
    problem = preset.problem_of(world)
    assert problem.settled.week_begins == "Fri"
    today = today_of(preset, world, problem)
    assert str(today.date) == "2023-11-10" == str(world.plan.settings.as_of)
    (tmp_path / "plan.yaml").write_text("sales: sales.csv\nstock: stock.csv\nfrequency: week\n")
    assert str(PlanNetwork(data=str(tmp_path / "plan.yaml")).files.settings.as_of) == "2023-11-10"
    mondays = dataclasses.replace(preset, week_begins="Mon").shop()
    assert mondays.panel.dates[-1] == np.datetime64(
        "2023-10-30"
    ) and mondays.next_date == np.datetime64("2023-11-06")
    with pytest.raises(UserError, match="unknown week_begins 'Friday'; did you mean 'Fri'"):
        PlanNetwork(data=str(tmp_path), week_begins="Friday")


# What the shop does itself


def test_a_shops_own_minimum_and_maximum_are_played_beside(tmp_path):
    """Periods of an order point by hand: what arrives is sold from, and a week later it is ordered
    up to the maximum.
    """
    stock = "sku,on hand,Reorder Point,Par Level\na,9,6,20\nb,30,25,60\nc,2,2,8\n"
    problem = weekly(tmp_path, stock=stock).build()
    low, high = problem.shop.min_max
    assert low[0, 0].tolist() == [6, 25, 2] and high[0, 0].tolist() == [20, 60, 8]
    (own,) = theirs_of(problem)
    total = measure(problem, own, root(0))
    numbers = problem.test
    trace = np.asarray(numbers.demand.demand)[:, :, 0, 0]
    first = int(np.asarray(numbers.demand.first)[0]) + problem.env.history
    for s, (least, most) in enumerate(zip(low[0, 0], high[0, 0])):
        on_hand, coming, short = np.round(np.asarray(numbers.initial_low)[s, 0, 0]), 0.0, 0.0
        for number in range(problem.test_periods):
            order = most - on_hand - coming if on_hand + coming <= least else 0.0
            on_hand, coming = on_hand + coming, order
            wanted = trace[s, first + number]
            short += max(wanted - on_hand, 0.0) * (number >= problem.warm_up)
            on_hand = max(on_hand - wanted, 0.0)
        assert total.short[s].sum() == pytest.approx(short)
    gap = weekly(tmp_path, stock=stock.replace("c,2,2,8", "c,2,,")).build()
    assert gap.shop.min_max is None and not theirs_of(gap)
    assert any("not played beside" in note for note in gap.notes)
    assert not any("not played beside" in note for note in problem.notes)
    for row, said in (("c,2,2,", "not both given"), ("c,2,2,1", "is below 'min_stock'")):
        with pytest.raises(UserError, match=f"stock.csv.*{said}.*line 4"):
            weekly(tmp_path, stock=stock.replace("c,2,2,8", row)).build()


def test_on_several_ways_the_first_takes_the_order():
    stock = pd.DataFrame(
        {
            "sku": ["a", "a"],
            "location": ["hub", "shop"],
            "min_stock": [1.0, 2],
            "max_stock": [5.0, 6],
        }
    )
    low, high = own_min_max(stock, ("a",), np.array([["hub", "hub", "shop", ""]], object))
    assert low[:, 0, 0].tolist() == [1, -np.inf, 2, -np.inf] and high[:, 0, 0].tolist() == [
        5,
        0,
        6,
        0,
    ]
    assert own_min_max(stock, ("b",), np.array([["hub"]], object)) is None


# Ways


def test_a_network_has_a_place_a_node_and_a_lane_an_edge(shop):
    _, _, world, problem = shop
    topology = problem.env.topology
    assert topology.node_names == ("Lager Nord", "Lager Süd", "Filiale 01", "Filiale 02")
    assert topology.sources == (-1, -1, 0, 1) and topology.destinations == (0, 1, 2, 3)
    assert topology.demand_nodes == (2, 3) and problem.env.world.order_days
    assert problem.labels == ("00101", "00108", "00115", "00122", "00129")  # the last one is new
    lanes = world.plan.lanes
    assert [lanes["source"][row] for row in world.ways.lane[0]] == [
        "Nordwerk",
        "Südimport",
        "Lager Nord",
        "Lager Süd",
    ]


def test_a_unit_of_each_passes_the_warehouse_that_supplies_its_store(shop):
    _, _, world, problem = shop
    scale = np.asarray(problem.train.scale)[..., 0]
    assert np.allclose(scale[:, 0], scale[:, 2]) and np.allclose(scale[:, 1], scale[:, 3])
    sold = world.placed.demand[: world.learned, :, : world.split.train.stop].mean(-1)
    assert np.allclose(scale[:, 2:], sold, rtol=0.02)


def test_order_days_are_those_of_the_calendar(shop):
    made, _, world, problem = shop
    first = world.panel.dates[0].astype("datetime64[D]")
    assert first == np.datetime64("2023-04-03")  # a Monday
    days = np.asarray(problem.train.order_days)[0]  # [W, E]
    assert days.shape == (14, 4)
    assert np.flatnonzero(days[:, 0]).tolist() == [0, 3, 7, 10] and np.flatnonzero(
        days[:, 2]
    ).tolist() == [0, 3, 7, 10]
    assert np.flatnonzero(days[:, 1]).tolist() == [0]  # every second Monday
    assert np.asarray(problem.train.review_period)[0].tolist() == [3.5, 14, 3.5, 3.5]


def test_lead_times_and_what_arrives_are_those_of_lanes_and_receipts(shop):
    made, _, world, problem = shop
    receipts = made.tables["receipts"]
    own = receipts[receipts["source"] == "Nordwerk"]
    came = own["received"].notna()
    part = own["received_quantity"][came] / own["quantity"][came] < 1
    law = problem.train.arrival_law
    shares, cdf = np.asarray(law.shares)[0, :, 0], np.asarray(law.cdf)[0, :, 0]
    # orders of the last weeks may still come, so the share of lost ones is at most that of those
    # that have not come
    assert shares[0] == 0 and shares[-1] == 1 and cdf[0] <= (~came).mean() + 1e-6
    assert cdf[1] - cdf[0] == pytest.approx(part.mean() * (1 - cdf[0]), rel=1e-3)
    assert shares[1] == pytest.approx(
        (own["received_quantity"][came] / own["quantity"][came])[part].mean(), abs=2e-3
    )
    assert world.lead.mean[0, 2:].tolist() == [2, 2]
    assert world.lead.mean[0, 0] == pytest.approx(7, abs=0.1) and world.lead.mean[
        0, 1
    ] == pytest.approx(18, abs=0.2)
    spread = np.sqrt(
        world.lead.mass[0, 0] @ (np.arange(world.lead.longest + 1) - world.lead.mean[0, 0]) ** 2
    )
    assert spread == pytest.approx(2, abs=0.15)


def test_costs_are_money_of_the_plan(shop):
    made, _, _, problem = shop
    items = made.tables["items"].set_index("sku").loc[list(problem.labels)]
    train = problem.train
    assert np.allclose(np.asarray(train.holding)[:, 0, 0], items["cost"] * 0.25 / 365, rtol=1e-5)
    assert np.allclose(
        np.asarray(train.shortage)[:, 2, 0], items["price"] - items["cost"], rtol=1e-4
    )
    assert np.allclose(
        np.asarray(train.fixed_cost)[:, 0, 0], 12.5 / 6
    )  # an order has a line of each SKU
    assert (
        np.asarray(train.pack_size)[:, 0, 0].tolist() == items["pack"].tolist()
        and (np.asarray(train.pack_size)[:, 2] == 1).all()
    )
    assert np.allclose(np.asarray(train.unit_cost)[0, :, 0], [0, 0, 0.1, 0.1])


def test_without_lanes_each_series_is_a_store_of_its_own(tmp_path):
    problem = weekly(tmp_path).build()
    assert problem.env.topology.nodes == 1 and problem.labels == ("a", "b", "c")
    assert np.asarray(problem.train.lead_time).tolist() == [[1.0]] * 3  # 7 days of a weekly plan


def test_a_lane_of_one_product_takes_the_place_of_that_for_all(tmp_path):
    lanes = "source,destination,sku,lead_time,unit_cost\nnear,shop,,7,0\nfar,shop,b,21,0\nfast,shop,b,7,2\n"
    preset = weekly(tmp_path, lanes)
    world = preset.shop()
    problem = preset.problem_of(world)
    assert problem.env.topology.edges == 2
    assert world.ways.text("source").tolist() == [["near", ""], ["far", "fast"], ["near", ""]]
    assert np.asarray(problem.train.unit_cost)[1, :, 0].tolist() == [0, 2]
    open = np.asarray(problem.train.order_days)
    assert open.shape[1] == 1 and open[:, 0].tolist() == [[1, 0], [1, 1], [1, 0]]
    state = problem.env.start({"stock": jnp.zeros((1, 1))}, problem.first)
    exogenous = Exogenous(jnp.zeros((1, 1)), jnp.ones(2), open=jnp.asarray(open[0, 0]))
    _, outcome = problem.env.transition(state, jnp.full((2, 1), 5.0), exogenous, problem.first)
    assert outcome.ordered[:, 0].tolist() == [5, 0]


def test_currencies_are_counted_in_that_of_the_plan(tmp_path):
    lanes = "source,destination,lead_time,unit_cost,fixed_cost,currency\nhome,shop,7,1,0,EUR\nabroad,shop,14,1,30,USD\n"
    preset = weekly(tmp_path, lanes)
    (tmp_path / "plan.yaml").write_text(
        "sales: sales.csv\nlanes: lanes.csv\ncurrency: EUR\nrates: {USD: 0.5}\n"
    )
    problem = dataclasses.replace(preset, data=str(tmp_path / "plan.yaml")).build()
    assert np.asarray(problem.train.unit_cost)[0, :, 0].tolist() == [0.5, 0]  # beyond the cheapest
    assert np.asarray(problem.train.fixed_cost)[0, :, 0].tolist() == [
        0,
        5,
    ]  # half of 30, shared by three SKUs


def test_a_plan_that_is_no_plan_is_refused(tmp_path):
    with pytest.raises(UserError, match="network needs data=PLAN"):
        PlanNetwork().build()
    with pytest.raises(UserError, match="train_until=soon is not a date"):
        dataclasses.replace(weekly(tmp_path), train_until="soon").build()


# What goes on


def test_a_run_keeps_its_training_periods_where_sales_go_on(tmp_path):
    (tmp_path / "later").mkdir()
    early, late = weekly(tmp_path, weeks=80), weekly(tmp_path / "later", weeks=100)
    settled = early.build().settled
    assert settled.train_until == "2023-01-30" and settled.frequency == "week"  # 56 of 80 weeks
    assert (settled.history, settled.horizon) == (16, 39)
    first, later = settled.build(), settled.going_on(late.data).build()
    assert later.fingerprint == first.fingerprint
    assert np.array_equal(first.train.scale, later.train.scale) and first.env == later.env
    assert later.test_periods - first.test_periods == 20


# Today


def test_today_has_the_stock_and_the_open_orders_of_the_files(shop):
    made, preset, world, problem = shop
    today = today_of(preset, world, problem)
    assert today.date == made.as_of and today.state.on_hand.shape == (
        6,
        4,
        1,
    )  # five and the new one
    stock = made.tables["stock"].set_index(["sku", "location"])["stock"]
    orders = made.tables["open_orders"]
    now = orders[pd.to_datetime(orders["due"]) <= pd.Timestamp(made.as_of)]
    for s, sku in enumerate(today.skus):
        for n, place in enumerate(today.nodes[s]):
            mine = now[(now["sku"] == sku) & (now["destination"] == place)]["quantity"].sum()
            assert today.state.on_hand[s, n, 0] == stock[sku, place] + mine
    ours = orders[orders["sku"].isin(today.skus)]
    on_the_way = ours["quantity"].sum() - now[now["sku"].isin(today.skus)]["quantity"].sum()
    assert float(today.state.pipeline.sum()) == on_the_way


def test_open_orders_arrive_on_the_day_they_are_due(tmp_path):
    made = make_shop(tmp_path, stores=2, skus=6, weeks=60, style="plain")
    days = [1, 2, 5, 6, 13, 17, 30]
    rows = [
        ("00101", "Nordwerk", "Lager Nord", 10 + day, str(made.as_of + day), str(made.as_of - 2))
        for day in days
    ]
    rows.append(
        ("00101", "Nordwerk", "Lager Nord", 100, str(made.as_of - 3), str(made.as_of - 20))
    )  # late
    frame = pd.DataFrame(
        rows, columns=["sku", "source", "destination", "quantity", "due", "ordered"]
    )
    frame.to_csv(tmp_path / "open_orders.csv", index=False)
    preset = PlanNetwork(data=str(tmp_path))
    world = preset.shop()
    problem = preset.problem_of(world)
    today = today_of(preset, world, problem)
    assert len(today.late) == 1
    state, params = jax.tree.map(lambda leaf: leaf[0], (today.state, today.params))
    step, stock = jax.jit(problem.env.transition), [float(today.state.on_hand[0, 0, 0])]
    for _ in range(33):
        exogenous = Exogenous(
            jnp.zeros((2, 1)), jnp.full(4, 2.0), arrival=jnp.ones(4), open=jnp.zeros(4)
        )
        state, _ = step(state, jnp.zeros((4, 1)), exogenous, params)
        stock.append(float(state.on_hand[0, 0]))
    expected = {day: 10.0 + day for day in days}
    expected[1] += 100.0
    assert {day: added for day, added in enumerate(np.diff(stock), 1) if added} == expected


def test_a_run_fits_whatever_is_on_order_and_nothing_is_sent_twice(tmp_path):
    orders = "sku,source,destination,quantity,due,ordered\na,w,x,7,2023-12-11,2023-12-04\nb,S,w,9,2024-01-29,2023-12-04\nb,w,x,5,2023-12-11,2023-11-27\n"
    lanes = "source,destination,lead_time\nS,w,7\nw,x,7\n"
    preset = weekly(
        tmp_path, lanes, open_orders=orders, stock="sku,location,stock\na,w,10\nb,w,10\n"
    )
    table = pd.read_csv(tmp_path / "sales.csv").assign(location="x")
    table.to_csv(tmp_path / "sales.csv", index=False)
    assert preset.shop().lead.longest == 9  # due in 8 weeks
    preset = dataclasses.replace(preset, longest_lead_time=2)  # as a run says
    world = preset.shop()
    today = today_of(preset, world, preset.problem_of(world))
    assert world.lead.longest == 2 and str(today.date) == "2023-12-04"
    names = [*today.nodes[0]]
    promised = dict(zip(today.skus, today.promised[:, names.index("w")]))
    assert promised == {"a": 7, "b": 0, "c": 0}  # what was ordered last week has left
    assert today.state.pipeline[list(today.skus).index("b")].sum() == 14


def test_today_sees_the_last_sales_and_what_is_to_come(shop):
    made, preset, world, problem = shop
    today = today_of(preset, world, problem)
    names = [signal.name for signal in problem.env.signals]
    signals = np.asarray(today.signals)
    assert signals.shape == (6, preset.history, len(names))
    assert np.array_equal(signals[:, :, :2], today.demand[:, -preset.history :])
    calendar = made.tables["calendar"]
    promotion = names.index("promotion") - 2
    ahead = today.known[:, len(today.dates) :, promotion]
    for s, sku in enumerate(today.skus):
        told = pd.to_datetime(calendar[calendar["sku"] == sku]["date"]).to_numpy("datetime64[D]")
        coming = [day for day in range(50) if today.date + day in told]
        assert np.flatnonzero(ahead[s, :50] > ahead.min() + 0.1).tolist() == coming


def test_open_tells_when_orders_may_go_out(shop):
    made, preset, world, problem = shop
    today = today_of(preset, world, problem)
    dates, ended = today.date + np.arange(28), today.skus == made.skus[-2]
    assert not today.open[ended].any() and today.open[~ended, 0].any()
    weekday = (dates.astype(int) + 3) % 7
    assert np.array_equal(
        np.flatnonzero(today.open[0, 0, :28]), np.flatnonzero(np.isin(weekday, (0, 3)))
    )
    fortnight = ((dates - np.datetime64("2023-04-03")).astype(int) % 14) == 0
    assert np.array_equal(today.open[0, 1, :28], fortnight)


@pytest.mark.parametrize("weeks, history, horizon", [(100, 16, 40), (52, 16, 19), (30, 8, 12)])
def test_of_few_weeks_episodes_are_shorter(tmp_path, weeks, history, horizon):
    problem = weekly(tmp_path, weeks=weeks).build()
    assert (problem.env.history, problem.horizon) == (history, horizon)


def test_a_new_product_has_the_past_of_the_one_that_it_is_like(shop):
    made, preset, world, problem = shop
    today = today_of(preset, world, problem)
    new, like = made.skus[-1], made.tables["items"]["like"].iloc[-1]
    assert (
        problem.labels == tuple(sku for sku in today.skus if sku != new) and today.labels[-1] == new
    )
    mine, other = (int(np.flatnonzero(today.skus == sku)[0]) for sku in (new, like))
    assert np.allclose(today.demand[mine], today.demand[other], atol=1)  # estimates are drawn
    same = today.demand[mine] == today.demand[other]
    assert same.mean() > 0.95
    cost = made.tables["items"].set_index("sku")["cost"]
    assert np.asarray(today.params.holding)[mine, 0, 0] == pytest.approx(
        cost[new] * 0.25 / 365, rel=1e-5
    )
    assert today.open[mine, 0].any()


def test_one_with_some_sales_of_its_own_is_as_large_as_they_say(tmp_path):
    preset = weekly(tmp_path, items="sku,cost,like\na,1,\nb,1,\nc,1,\nnew,3,b\nalone,1,\n")
    sales = pd.read_csv(tmp_path / "sales.csv")
    last = sorted(sales["date"].unique())[-10:]
    b = sales[(sales["sku"] == "b") & sales["date"].isin(last)]
    more = [b.assign(sku="new", sales=2 * b["sales"]), b.assign(sku="alone", sales=7)]
    pd.concat([sales, *more]).to_csv(tmp_path / "sales.csv", index=False)
    world = preset.shop()
    problem = preset.problem_of(world)
    today = today_of(preset, world, problem)
    assert problem.labels == ("a", "b", "c") and set(today.labels[3:]) == {"new", "alone"}
    demand = {sku: today.demand[s, :, 0] for s, sku in enumerate(today.skus)}
    assert np.allclose(demand["new"], 2 * demand["b"]) and np.isnan(demand["alone"][:-10]).all()
    scale = dict(zip(today.skus, np.asarray(today.params.scale)[:, 0, 0]))
    assert scale["new"] == pytest.approx(2 * demand["b"].mean(), rel=1e-5) and scale[
        "alone"
    ] == pytest.approx(7)


def test_a_unit_costs_what_the_item_and_the_lane_say_in_the_currency_of_the_lane(tmp_path):
    lanes = "source,destination,lead_time,unit_cost,currency\nhome,shop,7,1,EUR\nabroad,shop,14,0.25,USD\n"
    preset = weekly(tmp_path, lanes, items="sku,cost\na,3\nb,8\nc,5\n")
    (tmp_path / "plan.yaml").write_text(
        "sales: sales.csv\nlanes: lanes.csv\nitems: items.csv\ncurrency: EUR\nrates: {USD: 0.5}\n"
    )
    preset = dataclasses.replace(preset, data=str(tmp_path / "plan.yaml"))
    world = preset.shop()
    price, currency = prices(today_of(preset, world, preset.problem_of(world)))
    assert currency.tolist() == [["EUR", "USD"]] * 3
    assert price.tolist() == [[4, 6.25], [9, 16.25], [6, 10.25]]


def test_nothing_is_ordered_for_what_is_no_longer_sold(tmp_path):
    preset = weekly(tmp_path)
    sales = pd.read_csv(tmp_path / "sales.csv")
    late = sales["date"] >= sorted(sales["date"].unique())[-20]
    sales.loc[late & (sales["sku"] == "a"), "sales"] = 0
    sales.to_csv(tmp_path / "sales.csv", index=False)
    world = preset.shop()
    today = today_of(preset, world, preset.problem_of(world))
    assert dict(zip(today.skus, today.open[:, 0, 0])) == {"a": False, "b": True, "c": True}


def test_what_may_spoil_is_told(tmp_path):
    stock = "sku,stock\na,40\nb,20\nc,90\n"
    preset = weekly(tmp_path, items="sku,cost,shelf_life\na,1,10\nb,1,400\nc,1,\n", stock=stock)
    world = preset.shop()
    problem = preset.problem_of(world)
    today = today_of(preset, world, problem)
    rule = rule_for(problem, "base_stock")
    decider = Decider(
        "base_stock", problem, rule, {"level": jnp.full((1, 1), 3.0), "variation": jnp.float32(0.5)}
    )
    found = make_list(today, Acting.of(decider, 3), paths=16).exceptions
    told = found[found["kind"] == "may spoil"]
    assert (
        told["sku"].tolist() == ["a"] and "it keeps for 10" in told["what"].iloc[0]
    )  # eight weeks of demand
