"""Order lists: terms that add up, what couples lines, exceptions, files."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mornings import rule, shop

from jaxinv.errors import UserError
from jaxinv.orders.exceptions import KINDS, exceptions_of
from jaxinv.orders.files import csv_text, read_orders, sheet_names, write_list
from jaxinv.orders.joint import Limits, settle, trim
from jaxinv.orders.lines import Acting, Lines, lines_of
from jaxinv.orders.order_list import COLUMNS, futures_of, horizon_of, make_list, prices
from jaxinv.orders.reasons import TERMS, Terms, counterfactuals, sentence
from jaxinv.orders.risk import line_risks

pytestmark = pytest.mark.usefixtures("quick_compilation")
PATHS = 64


def morning(size=12, seed=0, mean=5.0, **options):
    draw = np.random.default_rng(seed)
    demand = draw.poisson(mean, (size, 104)).astype(float)
    stock = options.pop("stock", draw.integers(0, 25, size))
    return shop(demand, stock, **{"lead": 2, "pack": 4.0, "cost": 2.0, **options})


def acting(today, name="base_stock", **numbers):
    return Acting.of(rule(today, name, **(numbers or {"level": 1.4})), len(today.skus))


def listed(today, **options):
    return make_list(today, acting(today), paths=PATHS, **options)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_terms_add_up_to_the_quantity(data):
    """Of any line, also as they are written in a file."""
    number = st.floats(-500, 5000, allow_nan=False, width=32)
    values = {
        name: np.asarray([data.draw(number)], np.float32).reshape(1, 1, 1)
        for name in ("base", "mean", "target", "position")
    }
    quantity = np.float32(data.draw(st.integers(0, 3000))).reshape(1, 1, 1)
    lines = SimpleNamespace(target=values["target"], position=values["position"], quantity=quantity)
    terms = Terms.of(lines, SimpleNamespace(base=values["base"], mean=values["mean"])).table
    assert sum(terms.values()) == pytest.approx(float(quantity[0, 0, 0]), abs=1e-6)
    written = csv_text(
        pd.DataFrame({f"term_{name}": value.ravel() for name, value in terms.items()})
    )
    assert sum(float(cell or 0) for cell in written.splitlines()[1].split(",")) == pytest.approx(
        float(quantity[0, 0, 0]), abs=0.021
    )


def test_every_line_of_a_list():
    today = morning()
    found = listed(today)
    assert list(found.all) == list(COLUMNS) and len(found.all) == 12
    rows = found.orders
    terms = rows[[f"term_{name}" for name in TERMS]].sum(axis=1)
    assert np.allclose(terms, rows["quantity"], atol=1e-6)
    assert np.allclose(rows["quantity"] % 4, 0) and np.allclose(rows["packs"] * 4, rows["quantity"])
    assert np.allclose(rows["cost"], 2 * rows["quantity"])
    assert (rows["arrival_likely"] == str(today.date + 14)).all() and (
        rows["cover_days"] == 21
    ).all()
    assert (rows["risk_with"] <= rows["risk_without"]).all()
    assert (rows["forecast_low"] <= rows["forecast"]).all() and (
        rows["forecast"] <= rows["forecast_high"]
    ).all()
    decider = found.acting.deciders[0]
    stock = np.asarray(today.state.on_hand)[:, 0, 0]
    for sku, quantity in zip(rows["sku"], rows["quantity"]):
        number = list(today.skus).index(sku)
        assert decider.order(stock=[stock[number]], pipeline=[0], series=sku).item() == quantity
        row = rows[rows["sku"] == sku].iloc[0]
        assert row["net_position"] == stock[number]
        assert (
            f"net {stock[number]:g}, needs " in row["reason"]
            and f"pack 4: order {quantity:g}" in row["reason"]
        )
    assert list(found.why.columns[:4]) == ["sku", "source", "destination", "quantity"]
    assert (found.why["longer_lead_time"] >= found.why["quantity"]).all()
    assert (found.why["more_service"] >= found.why["quantity"]).all()


def test_the_sentence():
    said = sentence(102, 139, 128, np.datetime64("2024-03-12"), 37, 12, 36)
    assert said == "net 102, needs 139 until 12 March (128 expected, 11 safety), pack 12: order 36"
    assert sentence(150, 139, 128, np.datetime64("2024-03-12"), 0, 12, 0).endswith(
        ": order nothing"
    )
    assert "less than half a pack" in sentence(135, 139, 128, np.datetime64("2024-03-12"), 4, 12, 0)
    assert "stock of the source" in sentence(102, 139, 128, np.datetime64("2024-03-12"), 37, 1, 20)


def test_a_list_that_is_on_order_yields_no_second_one():
    today = morning()
    found = listed(today)
    assert len(found.orders) > 5
    pipeline = np.array(today.state.pipeline)
    for sku, quantity in zip(found.orders["sku"], found.orders["quantity"]):
        pipeline[list(today.skus).index(sku), 0, 0, 0] += quantity
    again = lines_of(
        dataclasses.replace(today, state=today.state.replace(pipeline=pipeline)), acting(today)
    )
    assert not again.quantity.any()


def test_counterfactuals_ask_the_policy():
    size, periods, to_come = 8, 104, 16
    draw = np.random.default_rng(3)
    known = np.zeros((size, periods + to_come, 1), np.float32)
    known[:, :periods, 0] = draw.random((size, periods)) < 0.1
    known[:, periods] = 1.0  # a promotion in the coming period
    demand = draw.poisson(6.0 * (1 + 1.5 * known[:, :periods, 0])).astype(float)
    demand[:, -1] = 40.0  # last week was out of the ordinary
    today = shop(demand, np.full(size, 20.0), lead=1, pack=1.0, known=known)
    who = acting(today, "base_stock_regression", level=1.0, safety=1.0)
    lines = lines_of(today, who)
    outlook = futures_of(today, horizon_of(today, lines))
    judged = line_risks(today, lines, outlook, paths=PATHS)
    found = counterfactuals(today, who, lines, judged)
    assert set(found) == {
        "without_promotion",
        "longer_lead_time",
        "average_last_week",
        "more_service",
    }
    assert found["without_promotion"].sum() < lines.quantity.sum() - size
    assert found["average_last_week"].sum() < lines.quantity.sum()
    assert found["longer_lead_time"].sum() > lines.quantity.sum()
    assert judged.mean.sum() > judged.plain.sum() + size  # the promotion is in the forecast too


def limits(today, **given):
    price, _ = prices(today)
    given = {"price": price, "worth": price, "volume": np.ones(len(today.skus)), **given}
    return Limits(**given)


def settled(today, who=None, **given):
    who = acting(today) if who is None else who
    lines = lines_of(today, who)
    outlook = futures_of(today, horizon_of(today, lines))
    judged = line_risks(today, lines, outlook, paths=PATHS)
    return lines, judged, settle(today, lines, judged, outlook, limits(today, **given), PATHS)


def test_an_order_below_the_minimum_is_raised_where_that_costs_least():
    today = morning(stock=np.array([2.0] * 6 + [19.0] * 6), shortage=30.0)
    lines, judged, found = settled(
        today, minimum_units={0: float(lines_of(today, acting(today)).quantity.sum()) + 8.0}
    )
    more = found.lines.quantity - lines.quantity
    assert more.sum() == 8 and (more >= 0).all()
    cheapest = line_risks(
        today, lines, futures_of(today, horizon_of(today, lines)), paths=PATHS, everywhere=True
    ).cost("pack_more")
    assert cheapest[more > 0].max() <= np.quantile(cheapest, 0.5)
    assert [remark.kind for remark in found.remarks] == ["raised to the minimum order"]
    assert (
        all("raised to the minimum" in why for why in found.why.values())
        and len(found.why) == (more > 0).sum()
    )


def test_an_order_far_below_the_minimum_waits():
    today = morning(stock=np.full(12, 21.0), holding=3.0)
    lines, _, found = settled(today, acting(today, level=1.55), minimum_money={0: 3000.0})
    assert 0 < lines.quantity.sum() * 2 < 3000
    assert not found.lines.quantity.any()
    assert (
        found.remarks[0].kind == "below the minimum order"
        and "takes no less" in found.remarks[0].advice
    )


def test_budget_and_room_cut_where_it_costs_least():
    today = morning(stock=np.array([0.0] * 6 + [16.0] * 6))
    lines, judged, found = settled(today, budget=80.0)
    assert (found.lines.quantity * 2).sum() <= 80 and (found.lines.quantity <= lines.quantity).all()
    assert np.allclose(found.lines.quantity % 4, 0)
    kept = found.lines.quantity[:, 0, 0] / np.maximum(lines.quantity[:, 0, 0], 1)
    assert kept[:6].mean() > kept[6:].mean()  # what is empty is kept rather
    assert found.remarks[0].kind == "budget" and len(found.changed)
    room = float(lines.on_hand.sum() + 40)
    _, _, found = settled(today, capacity={"shop": room})
    assert lines.on_hand.sum() + found.lines.quantity.sum() <= room
    assert found.remarks[0].kind == "no room"
    _, _, found = settled(today, most={0: 40.0})
    assert 36 < found.lines.quantity.sum() <= 40 and found.remarks[0].kind == "lane limit"
    assert all("the lane takes 40 units" in why for why in found.why.values())
    whole = make_list(today, acting(today), limits=limits(today, budget=80.0), paths=PATHS)
    assert whole.orders["cost"].sum() <= 80 and whole.orders["reason"].str.contains("budget").any()
    assert np.allclose(
        whole.all[[f"term_{name}" for name in TERMS]].sum(axis=1), whole.all["quantity"], atol=1e-6
    )


def test_a_budget_is_in_the_money_of_the_plan_and_of_what_there_is():
    """Half of the SKUs are bought in a currency worth a quarter, and one edge more has no price."""
    today = morning(stock=np.zeros(12))
    price, _ = prices(today)
    worth = price * np.where(np.arange(12) % 2, 1.0, 0.25)[:, None]
    lines = lines_of(today, acting(today))
    wanted = float((lines.quantity[..., 0] * worth).sum())
    none, _, found = settled(today, worth=worth, budget=wanted + 1)
    assert not found.remarks and (found.lines.quantity == none.quantity).all()
    _, _, found = settled(today, worth=worth, budget=0.8 * wanted)
    left = float((found.lines.quantity[..., 0] * worth).sum())
    assert 0.8 * wanted - 4 * worth.max() < left <= 0.8 * wanted
    assert f"came to {wanted:,.2f}, the budget is {0.8 * wanted:,.10g}" in found.remarks[0].advice
    today = morning(
        stock=np.array([0.0] * 6 + [40.0] * 6)
    )  # these order nothing, and have no price
    ordered = lines_of(today, acting(today)).quantity[..., 0] > 0
    _, _, found = settled(today, worth=np.where(ordered, price, np.nan), budget=80.0)
    assert found.remarks[0].kind == "budget" and (found.lines.quantity * 2).sum() <= 80


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_more_is_cut_than_the_last_pack(data):
    """From lines of any size, with any price and any cost of a pack less, down to any total."""
    draw = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    size = data.draw(st.integers(1, 40))
    pack = draw.integers(1, 30, size).astype(float)
    quantity = pack * draw.integers(0, data.draw(st.sampled_from([3, 100, 10_000])), size)
    weights = draw.choice([0.0, 0.5, 3.0, 40.0], size, p=[0.1, 0.3, 0.3, 0.3])
    total = (quantity * weights).sum()
    target = data.draw(st.floats(0, 1)) * total
    lines, shape = np.argwhere(quantity[:, None, None] > 0), (size, 1, 1)

    def costs(now, where):
        return np.sin(37.0 * where[:, 0])  # some packs are better not ordered

    pack_of, weight_of = pack.reshape(shape), weights.reshape(shape)
    left = trim(quantity.reshape(shape), lines, weight_of, total - target, pack_of, costs)
    after = (left[:, 0, 0] * weights).sum()
    assert (left >= 0).all() and (left[:, 0, 0] % pack == 0).all()
    assert target - (pack * weights).max(initial=0) - 1e-6 <= after <= target + 1e-6
    assert (left[:, 0, 0] == quantity)[weights == 0].all()


def test_exceptions():
    draw = np.random.default_rng(1)
    demand = draw.poisson(5.0, (6, 104)).astype(float)
    demand[2, 60:] = 0  # not sold for most of a year
    demand[3] = draw.poisson(0.5, 104)
    stock = np.array([0.0, 15.0, 40.0, 400.0, 12.0, 15.0])
    table = pd.DataFrame(
        {
            "sku": ["SKU 1"],
            "source": ["supplier"],
            "destination": ["shop"],
            "quantity": [7.0],
            "due": [pd.Timestamp("2025-01-01")],
        }
    )
    items = pd.DataFrame({"shelf_life": []}, dtype=float)
    plan = SimpleNamespace(open_orders=table, full_items=items)
    today = shop(demand, stock, lead=2, plan=plan)
    today = dataclasses.replace(today, late=(0,), beyond=((0, "no lane leads there"),))
    who = acting(today)
    lines = lines_of(today, who)
    judged = line_risks(
        today, lines, futures_of(dataclasses.replace(today, plan=None), 8), paths=PATHS
    )
    found = exceptions_of(today, who, lines, judged)
    urgency = found["kind"].map(KINDS.index)
    assert urgency.is_monotonic_increasing and urgency.iloc[0] == 0
    kinds = found.groupby("kind")["sku"].apply(set).to_dict()
    assert "SKU 0" in kinds["runs out before anything can arrive"]
    assert kinds["no sales for long"] == {"SKU 2"}
    assert "SKU 3" in kinds["surplus"] and "SKU 0" not in kinds["surplus"]
    assert kinds["late order"] == {"SKU 1"} and kinds["open order not counted"] == {"SKU 1"}


def test_an_order_for_what_sells_no_more_is_told():
    """Twelve a month until three months ago, and nothing since; and a year at one a month: a level
    of the past orders for both, and it is told; not where twelve go on."""
    demand = np.full((3, 60), 12.0)
    demand[0, 57:] = 0
    demand[1, 48:] = 1
    today = shop(demand, np.zeros(3), lead=1, days=31)
    who = acting(today, level=4.0)
    lines = lines_of(today, who)
    assert (lines.quantity > 0).all()
    judged = line_risks(today, lines, futures_of(today, 8), paths=PATHS)
    found = exceptions_of(today, who, lines, judged).set_index(["kind", "sku"])
    assert "are ordered all the same" in found.loc[("no sales for long", "SKU 0"), "what"]
    row = found.loc[("order beyond the forecast", "SKU 1")]
    assert row["quantity"] == lines.quantity[1].sum()
    assert ("no sales for long", "SKU 2") not in found.index and (
        "order beyond the forecast",
        "SKU 2",
    ) not in found.index


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        listed(morning(size=5)).write(tmp_path / name)
    one, other = (
        {
            str(path.relative_to(tmp_path / name)): path.read_bytes()
            for path in sorted((tmp_path / name).rglob("*"))
            if path.is_file()
        }
        for name in ("one", "other")
    )
    assert one == other and {
        "orders.csv",
        "all.csv",
        "why.csv",
        "exceptions.csv",
        "about.json",
        "suppliers/supplier.csv",
    } == set(one)
    sheet = pd.read_csv(tmp_path / "one/suppliers/supplier.csv")
    assert list(sheet) == ["sku", "quantity"] and len(sheet) == len(read_orders(tmp_path / "one"))
    listed(morning(size=5, seed=3)).write(tmp_path / "one")  # takes its place
    assert (tmp_path / "one/orders.csv").read_bytes() != one["orders.csv"]


def test_a_list_is_written_whole_or_not_at_all(tmp_path):
    table = pd.DataFrame({"sku": ["a"], "quantity": [1.0]})
    write_list(tmp_path / "list", {"orders.csv": table})

    def fails(folder: Path):
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left"):
        write_list(tmp_path / "list", {"orders.csv": table.assign(quantity=2.0)}, finish=fails)
    assert "1" in (tmp_path / "list/orders.csv").read_text() and [
        path.name for path in tmp_path.iterdir()
    ] == ["list"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    with pytest.raises(UserError, match="no order list"):
        write_list(tmp_path / "mine", {"orders.csv": table})
    assert (tmp_path / "mine/letter.txt").read_text() == "dear"


def test_names_are_text_everywhere(tmp_path):
    names = ["=1+1", "+4", "-5", "@x", "\tTab", "'quoted", "<script>", "0012", "a,b"]
    table = pd.DataFrame(
        {
            "sku": names,
            "name": "",
            "source": "=cmd",
            "destination": "d",
            "quantity": 1.5,
            "currency": "",
            "rule": "",
            "reason": "x",
        }
    )
    write_list(tmp_path / "list", {"orders.csv": table})
    text = (tmp_path / "list/orders.csv").read_text()
    assert "'=1+1" in text and "'@x" in text and "\n=1+1" not in text and ",=cmd" not in text
    assert list(read_orders(tmp_path / "list")["sku"]) == names
    assert list(sheet_names(["A/B", "A B", "..", "a b"]).values()) == [
        "A_B",
        "A_B-2",
        "supplier",
        "a_b-3",
    ]


def test_lines_of_many_instances_are_those_of_few():
    today = morning(size=9)
    lines = lines_of(today, acting(today))
    assert isinstance(lines, Lines)
    import jaxinv.orders.lines as module

    before, module.CHUNK = module.CHUNK, 4
    try:
        again = lines_of(today, acting(today))
    finally:
        module.CHUNK = before
    assert np.array_equal(lines.quantity, again.quantity) and np.array_equal(
        lines.target, again.target
    )
