"""From a shop's files to its orders, as a planner types it; and who acts."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mornings import shop

from jaxinv.orders.competing import compete
from jaxinv.orders.files import read_orders

QUICK = ["history=8", "horizon=20", "evaluation.tune_periods=60000"]


def run(*arguments, folder: Path, code=0):
    found = subprocess.run(
        [sys.executable, "-m", "jaxinv.recommend", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert found.returncode == code, found.stderr
    return found


@pytest.fixture(scope="module")
def plan(tmp_path_factory, quick_compilation):
    folder = tmp_path_factory.mktemp("plan") / "shop"
    folder.mkdir()
    draw = np.random.default_rng(0)
    days = pd.date_range("2022-01-03", periods=90, freq="7D")
    names = [f"00{number}" for number in range(7)]
    sales = [
        (day.date(), name, draw.poisson(3 + number))
        for day in days
        for number, name in enumerate(names)
    ]
    pd.DataFrame(sales, columns=["date", "sku", "sales"]).to_csv(folder / "sales.csv", index=False)
    items = [
        (name, 2.0 + number, 5.0 + number, 4, "A" if number < 3 else "B")
        for number, name in enumerate(names)
    ]
    pd.DataFrame(items, columns=["sku", "cost", "price", "pack", "category"]).to_csv(
        folder / "items.csv", index=False
    )
    pd.DataFrame([(name, 3.0) for name in names], columns=["sku", "stock"]).to_csv(
        folder / "stock.csv", index=False
    )
    return folder


def test_a_plan_becomes_orders_and_these_are_not_ordered_again(plan, tmp_path):
    shown = run(
        str(plan), "--policy", "base_stock", "--out", "list", "--json", *QUICK, folder=tmp_path
    )
    document = json.loads(shown.stdout)
    orders = read_orders(tmp_path / "list")
    assert document["lines"] == len(orders) == 7 and list(orders["sku"]) == [
        f"00{number}" for number in range(7)
    ]
    assert document["policies"] == ["base_stock"]
    assert document["cost"] == {"": pytest.approx(orders["cost"].sum(), abs=0.05)}  # by currency
    assert (orders["quantity"] % 4 == 0).all() and (orders["order_date"] == document["date"]).all()
    assert {path.name for path in (tmp_path / "list").iterdir()} >= {
        "orders.csv", "all.csv", "why.csv", "exceptions.csv", "about.json", "suppliers",
        "evaluation.json", "report.html"
    }  # fmt: skip
    # the same command again: the same bytes, all of them
    run(str(plan), "--policy", "base_stock", "--out", "again", "--json", *QUICK, folder=tmp_path)
    for path in (tmp_path / "list").rglob("*"):
        if path.is_file():
            assert (
                path.read_bytes()
                == (tmp_path / "again" / path.relative_to(tmp_path / "list")).read_bytes()
            ), path.name
    # what was ordered is told as open orders, and nothing is ordered again
    (plan / "open_orders.csv").write_text((tmp_path / "list/orders.csv").read_text())
    try:
        shown = run(
            str(plan),
            "--policy",
            "base_stock",
            "--out",
            "second",
            "--json",
            *QUICK,
            folder=tmp_path,
        )
    finally:
        (plan / "open_orders.csv").unlink()
    assert json.loads(shown.stdout)["lines"] == 0
    second = pd.read_csv(tmp_path / "second/all.csv")
    assert np.allclose(second["on_order"], orders["quantity"])


def test_mistakes_are_one_line(plan, tmp_path):
    for arguments, said in (
        (("nothing.yaml",), "there is no such plan"),
        ((str(plan), "--policy", "base_stok"), "did you mean 'base_stock'?"),
        ((), "name one plan"),
        ((str(plan), "--date", "soon"), "soon"),
    ):
        error = run(*arguments, folder=tmp_path, code=2).stderr
        assert said in error and len(error.strip().splitlines()) == 1 and "Traceback" not in error
    assert not list(tmp_path.iterdir())


def competition(classes, gain, periods=40):
    """Two rules on 60 series; the second is cheaper for the last 30 by so much."""
    today = shop(np.full((60, 90), 5.0), np.zeros(60))
    problem = SimpleNamespace(
        shared=SimpleNamespace(period="week"),
        test_periods=periods + 10,
        warm_up=10,
        tested=60,
        env=today.problem.env,
    )
    draw = np.random.default_rng(0)
    cost = draw.gamma(4.0, 1.0, (periods, 60))
    other = cost + draw.normal(0, 0.3, cost.shape) + 0.4
    other[:, 30:] -= gain
    return compete(problem, {"one": cost, "other": other}, classes)


def test_the_cheapest_acts_and_another_where_it_is_proven():
    classes = ["A"] * 30 + ["B"] * 30
    found = competition(classes, gain=1.0)
    assert list(found.costs) == ["other", "one"] or found.names[0] == next(iter(found.costs))
    acts = np.asarray(found.names)[found.which]
    assert set(acts[:30]) == {"one"} and set(acts[30:]) == {"other"}
    assert any("acts for" in why for why in found.why)
    none = competition(classes, gain=0.4)  # as good as the other there: nothing is proven
    assert none.names == ("one",) and not none.which.any() and len(none.why) == 1
    assert competition(None, gain=1.0).which.max() == 0
    few = competition(["A"] * 50 + ["B"] * 10, gain=1.0)
    assert len(few.names) == 1
