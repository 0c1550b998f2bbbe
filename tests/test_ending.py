"""A file of too few series to hold some out: the last training weeks are, and what ends a training
is chosen on them.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from cases import case

from jaxinv import evaluate as evaluate_command
from jaxinv import train as train_command
from jaxinv.agents.registry import AGENTS, OFFLINE
from jaxinv.agents.validation import Validation
from jaxinv.ending import choose_policy, chosen_policy, notes_of, told
from jaxinv.envs.held_out import LEAST_PERIODS, kept_periods
from jaxinv.envs.retail import Retail
from jaxinv.envs.retail_network import RetailNetwork
from jaxinv.evaluation.held_out import Contestant, costs_of, measure
from jaxinv.evidence import Contest
from jaxinv.experiment import EvaluationConfig, trained_policies
from jaxinv.policies.rules import make_rule
from jaxinv.runs import Run

pytestmark = pytest.mark.usefixtures("quick_compilation")

SMALL = dict(history=4, horizon=20, lead_time=1)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Five SKUs in 100 weeks, the last 30 of which test; from week 56 on, within training, they
    sell as they did not before.
    """
    random, weeks = np.random.default_rng(3), pd.date_range("2021-01-04", periods=100, freq="7D")
    rows = [
        (week, f"S{sku}", random.poisson(8 + 4 * (t >= 56)))
        for sku in range(5)
        for t, week in enumerate(weeks)
    ]
    file = tmp_path_factory.mktemp("few") / "sales.csv"
    pd.DataFrame(rows, columns=["date", "sku", "sales"]).to_csv(file, index=False)
    return file


def test_one_sku_is_judged_on_the_last_of_its_training_weeks(tmp_path):
    problem = Retail(data=str(case("one_sku", tmp_path))).build()
    choice, sales = problem.choice, np.asarray(problem.train.demand.demand).ravel()
    assert len(sales) == 112 and choice.warm_up == problem.warm_up
    np.testing.assert_array_equal(np.asarray(choice.train.demand.demand).ravel(), sales[:90])
    # a fifth of 112 weeks is 22; before them lie 7 of warm-up and 16 of history, as in the test
    assert choice.test_periods - choice.warm_up == 22
    start = int(choice.test.demand.first[0])
    assert start == int(choice.test.demand.last[0]) == 112 - 22 - 7 - 16
    np.testing.assert_array_equal(np.asarray(choice.test.demand.demand).ravel(), sales)
    (note,) = [note for note in problem.notes if "held out" in note]
    assert "the last 22 weeks of the 112 that train" in note
    assert Retail(data=str(case("one_sku", tmp_path)), validation=0.0).build().choice is None


def test_a_network_of_few_skus_holds_out_weeks_too(tmp_path):
    file = case("promotion_in_second_store", tmp_path)
    problem = RetailNetwork(
        data=str(file), links=("11",), lead_times=((1, 2),), warehouse_lead_time=1,
        warehouse_holding_costs=(0.1,),
        purchase_costs=(1.0,), **{key: SMALL[key] for key in ("history", "horizon")},
    ).build()  # fmt: skip
    assert problem.choice.train.demand.demand.shape[1] == 112 - 22
    assert problem.choice.test_periods - problem.warm_up == 22


@pytest.mark.parametrize(
    "periods, begins, warm_up, share, kept",
    [
        (112, 0, 7, 0.2, (90, 40)),  # a fifth
        (
            70,
            0,
            7,
            0.2,
            (57, 40),
        ),  # what a whole horizon leaves: history 16, horizon 40, and one period more
        (58, 0, 7, 0.2, (50, 33)),  # at least 8; episodes are shorter
        (58, 0, 12, 0.2, (46, 29)),  # at least the warm-up
        (38, 0, 7, 0.2, None),  # episodes of 13 leave fewer than 7 to count
        (112, 60, 7, 0.2, (101, 40)),  # the last series begins in week 60
        (112, 0, 7, 0.0, None),
    ],
)
def test_how_many_periods_are_held_out(periods, begins, warm_up, share, kept):
    preset = Retail(validation=share)
    sold = np.ones(periods, bool)
    assert kept_periods(preset, sold, np.array([0, begins]), warm_up) == kept
    if kept:
        assert (
            kept_periods(preset, np.arange(periods) < kept[0], np.array([0, begins]), warm_up)
            is None
        )  # nothing sold there
        assert periods - kept[0] >= max(LEAST_PERIODS, warm_up)


@pytest.mark.parametrize(
    "name", [name for name in AGENTS if name not in ("tabular_q", *OFFLINE)]
)  # no table holds several series
def test_no_learner_is_shown_the_weeks_that_its_policies_are_chosen_on(name, few):
    """What is held out could be anything: a learner's worlds hold none of it, and its validation is
    on it alone.
    """
    problem = Retail(data=str(few), **SMALL).build()
    kind = AGENTS[name]
    agent = kind.create(
        problem,
        kind.Config.suited("retail", 4) if name in ("ppo", "fdim") else kind.Config(encoder="none"),
    )
    seen = np.asarray(agent.worlds.params.demand.demand)
    assert seen.shape[1] == 56 and seen.mean() < 9
    validation = Validation.of(problem, jax.random.key(0), settles=agent.settles)
    counted = np.asarray(validation.world.exogenous.demand)[validation.warm_up :]
    assert counted.shape[0] == 14 and counted.mean() > 11


def test_the_validation_is_the_evidence_of_the_choice(few):
    """Stock, weeks and noise are those that policies and rules are compared on, and costs are as
    counted by hand.
    """
    problem = Retail(data=str(few), integer_orders=False, **SMALL).build()
    policy, params = make_rule("base_stock", problem.env.topology), {"level": jnp.full((1, 1), 1.4)}
    cost = float(Validation.of(problem, jax.random.key(0)).cost(policy, params))
    rows = costs_of(
        problem.choice,
        measure(problem.choice, Contestant("rule", policy, params), jax.random.key(5)),
    )
    assert cost == pytest.approx(rows.mean(), rel=1e-5)
    sales = pd.read_csv(few).pivot(index="date", columns="sku", values="sales").to_numpy(float)
    scale = sales[:70].mean(0)
    stock, costs = 2 * scale, []
    for week in range(56 - problem.warm_up, 70):
        order = np.maximum(1.4 * 2 * scale - stock, 0)  # what was ordered before is there
        left, lost = np.maximum(stock - sales[week], 0), np.maximum(sales[week] - stock, 0)
        costs.append((left + 4 * lost) / scale)
        stock = left + order
    costs = costs[problem.warm_up :]
    assert cost == pytest.approx(np.mean(costs), rel=1e-4)


@pytest.fixture(scope="module")
def settled(few):
    """What `choose_policy` ends with for a policy that orders up to a level, beside constant orders and
    tuned levels.
    """
    problem = Retail(data=str(few), **SMALL).build()

    def ending(level, rules):
        learned = Contestant(
            "ppo", make_rule("base_stock", problem.env.topology), {"level": jnp.full((1, 1), level)}
        )
        config = EvaluationConfig(rules=rules, tune_periods=60_000, per_instance=())
        return problem, learned, *choose_policy(Contest("", problem, [learned]), config, 0, 0)

    return ending


def test_the_rule_is_chosen_where_it_costs_less_on_the_held_out_weeks(settled):
    problem, learned, contest, document = settled(0.1, ("base_stock",))
    assert (
        document["policy"] == "base_stock"
        and document["costs"]["base_stock"] < document["costs"]["ppo"]
    )
    assert told(document).startswith(
        "the run ends with base_stock: on the 14 weeks held out for the choice it costs 1."
    )
    assert ", ppo 4." in told(document)
    # what ends the run is the rule that the evaluation shows, tuned on all weeks, whole after a way
    # through text
    saved = json.loads(json.dumps(document))
    chosen = chosen_policy(problem, saved, [learned], "run")
    assert chosen.name == "run (base_stock)"
    np.testing.assert_array_equal(
        chosen.params["level"], contest.rules["base_stock"].params["level"]
    )


def test_the_learned_policy_is_chosen_where_it_costs_less(settled):
    problem, learned, contest, document = settled(1.6, ("constant_order",))
    assert document["policy"] == "ppo" and document["parameters"] is None
    assert told({**document, "costs": {"ppo": -3.0, "constant_order": 1.0}}).endswith(
        "it earns 3, constant_order costs 1"
    )
    assert chosen_policy(problem, document, [learned], "run") == learned._replace(name="run")


def test_a_run_ends_with_what_was_chosen_and_is_evaluated_so(tmp_path, capsys):
    """A network of one update is dearer than a tuned level where demand goes on as it was, so the
    run ends with the rule.
    """
    file = case("one_sku", tmp_path)
    arguments = [
        "--env", "retail", f"data={file}", "history=4", "horizon=20", "lead_time=1",
        "agent=diffsim", "encoder=none", "updates=1",
        "envs=2", "rollout=5", "form=none", "evaluation.rules=base_stock",
        "evaluation.tune_periods=60000",
        "evaluation.per_instance=", "--runs", str(tmp_path), "--name", "tiny", "--json",
    ]  # fmt: skip
    train_command.main(arguments)
    document = json.loads(capsys.readouterr().out)
    assert document["ends_with"]["policy"] == "base_stock"
    rows = {row["policy"]: row for row in document["evaluation"]}
    (mine,) = [row for row in rows.values() if row["chosen"]]
    assert mine["policy"] == document["ends_with"]["policy"]
    assert (
        mine["choice_cost"]
        == min(document["ends_with"]["costs"].values())
        < rows["diffsim"]["choice_cost"]
    )
    assert (Path(tmp_path) / "tiny/ending.json").exists()
    evaluate_command.main(["tiny", "base_stock", "--runs", str(tmp_path), "--json"])
    captured = capsys.readouterr()
    first, *_ = json.loads(captured.out)
    assert first["policy"] == f"tiny ({mine['policy']})" and first["cost"] == pytest.approx(
        mine["cost"], rel=1e-6
    )
    assert f"tiny: the run ends with {mine['policy']}: on the 22 weeks" in captured.err
    run, problem = Run.open("tiny", tmp_path), Retail(data=str(file), **SMALL).build()
    assert notes_of("tiny", problem, run.ending()) == [f"tiny: {told(document['ends_with'])}"]
    run.ending_path.unlink()
    experiment, (learned,) = trained_policies(run)
    assert learned.name == "tiny" and not hasattr(learned.policy, "levels")
    assert "has not chosen yet" in notes_of("tiny", experiment.problem, run.ending())[0]
