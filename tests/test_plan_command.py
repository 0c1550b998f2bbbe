"""A plan in the place of a preset or a configuration: `train`, `evaluate` and `tune` take it."""

import json

import pandas as pd
import pytest
from shop import make_shop

from jaxinv.choices import of_plan
from jaxinv.evaluate import main as evaluate
from jaxinv.train import main as train
from jaxinv.tune import main as tune

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small shop by week: its lanes have no order days."""
    made = make_shop(
        tmp_path_factory.mktemp("shop"),
        stores=2,
        skus=5,
        weeks=70,
        style="plain",
        leave_out=("lanes", "receipts"),
    )
    sales = pd.read_csv(made.folder / "sales.csv", dtype={"sku": str})
    week = pd.to_datetime(sales["date"]) - pd.to_timedelta(
        pd.to_datetime(sales["date"]).dt.day_of_week, unit="D"
    )
    weekly = (
        sales.assign(date=week.dt.date)
        .groupby(["date", "sku", "location"], as_index=False)["sales"]
        .sum()
    )
    weekly.to_csv(made.folder / "sales.csv", index=False)
    items = pd.read_csv(made.folder / "items.csv", dtype={"sku": str, "like": str}).drop(
        columns="service"
    )
    items.to_csv(made.folder / "items.csv", index=False)
    (made.folder / "open_orders.csv").unlink()
    return made.folder


def test_what_is_a_plan_and_what_is_not(tmp_path, folder):
    plan, config, empty = tmp_path / "plan.yaml", tmp_path / "config.yaml", tmp_path / "empty"
    plan.write_text("sales: sales.csv\n")
    config.write_text("env: lost_sales\n")
    empty.mkdir()
    assert of_plan(plan, ["a=1"]) == (None, ["env=network", f"data={plan}", "a=1"])
    assert of_plan(folder) == (None, ["env=network", f"data={folder}"])
    assert of_plan(config, ["a=1"]) == (config, ["a=1"]) and of_plan(empty) == (empty, [])
    assert of_plan(None, [f"env={folder}", "a=1"]) == (
        None,
        ["env=network", f"data={folder}", "a=1"],
    )
    assert of_plan(None, ["env=lost_sales"]) == (None, ["env=lost_sales"])


def test_a_plan_is_trained_on_judged_and_tuned_for(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = [
        "evaluation.rules=[newsvendor_smoothing]",
        "evaluation.tune_periods=60000",
        "evaluation.per_instance=[]",
    ]
    train([str(folder), "agent=diffsim", "updates=3", "envs=16", *few, "--name", "mine", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["env"] == "network" and {row["policy"] for row in document["evaluation"]} >= {
        "diffsim",
        "newsvendor_smoothing",
    }
    config = (tmp_path / "runs/mine/config.yaml").read_text()
    assert "train_until: '2024-03-11'" in config and "frequency: week" in config  # 49 weeks of 70
    evaluate(["mine", "newsvendor_smoothing", "--json"])
    again = {row["policy"]: row["cost"] for row in json.loads(capsys.readouterr().out)}
    first = {row["policy"]: row["cost"] for row in document["evaluation"]}
    acts = next(name for name in again if name.startswith("mine"))  # what the run ended with
    ended = document["ends_with"]["policy"] if document["ends_with"] else "diffsim"
    assert again[acts] == pytest.approx(first[ended], rel=1e-4)
    tune(["newsvendor_smoothing", str(folder), "--periods", "60000", "--json"])
    assert json.loads(capsys.readouterr().out)["rule"] == "newsvendor_smoothing"
