"""`train`, `evaluate` and `tune` as a user types them: results, run folders, interruption, resume
and every mistake.
"""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from cases import case
from marks import slow_but

from jaxinv import evaluate, train, training, tune
from jaxinv.agents.loop import Trainer
from jaxinv.cli import Interrupted, run_command
from jaxinv.errors import UserError
from jaxinv.experiment import Experiment
from jaxinv.runs import Run

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIZES = [
    "envs=8",
    "rollout=8",
    "minibatches=2",
    "epochs=1",
    "hidden=8",
    "paths=8",
    "rules=base_stock",
    "horizon=16",
]
TINY = ["--env", "lost_sales", "lead_time=1", "updates=4", *SIZES]
ROW = {
    "policy", "cost", "cost_interval", "difference", "difference_interval", "gap", "gap_interval",
    "fill_rate",
    "stockout_rate", "turnover", "parts",
}  # fmt: skip


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxinv.evidence.LEAST_PERIODS", 100_000)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run in a folder of runs; tests read it and leave it as it is."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxinv.evidence.LEAST_PERIODS", 100_000)
        train.main([*TINY, "--runs", str(folder), "--name", "whole", "--json"])
    return Run.open("whole", folder)


def document_of(capsys):
    """Standard output as the one JSON document that it has to be."""
    return json.loads(capsys.readouterr().out)


def mistake(capsys, command, *arguments) -> str:
    """The one message of a command that refuses its arguments."""
    with pytest.raises(SystemExit) as end:
        run_command(command.main, list(arguments))
    said = capsys.readouterr()
    assert (end.value.code, said.out) == (2, "") and "Traceback" not in said.err
    assert said.err.startswith("error: ") and said.err.count("\n") == 1, said.err
    return said.err


def trained_state(run):
    experiment = Experiment.load(run.config_path)
    return run.restore(jax.eval_shape(experiment.trainer.init, experiment.keys))


def assert_same_outcome(left, right):
    """Metrics byte for byte, the last checkpoint bit for bit, and the evaluation."""
    assert left.metrics_path.read_bytes() == right.metrics_path.read_bytes()
    (update, ours), (other, theirs) = trained_state(left), trained_state(right)
    assert update == other

    def bits(leaf):
        key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if key else leaf).tobytes()

    assert [bits(leaf) for leaf in jax.tree.leaves(ours)] == [
        bits(leaf) for leaf in jax.tree.leaves(theirs)
    ]
    evaluations = [json.loads(run.summary_path.read_text())["evaluation"] for run in (left, right)]
    assert evaluations[0] == evaluations[1]


# --- train ----------------------------------------------------------------------------------------


def test_train_prints_one_document_and_leaves_a_run_folder(capsys):
    train.main([*TINY, "--json", "--name", "first", "learning_rate=0.01"])
    document = document_of(capsys)
    assert {
        "run",
        "env",
        "agent",
        "seconds",
        "compile_seconds",
        "steps",
        "steps_per_second",
        "evaluation",
    } <= document.keys()
    assert (document["run"], document["env"], document["agent"]) == ("first", "lost_sales", "ppo")
    assert document["steps"] == 4 * 8 * 8
    assert [row["policy"] for row in document["evaluation"]] == ["ppo", "base_stock", "optimal"]
    assert all(row.keys() >= ROW for row in document["evaluation"])
    run = Run.open("first")
    assert json.loads(run.summary_path.read_text()) == document
    assert run.updates()[-1] == 4
    assert (run.path / "result.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader(run.metrics_path.open()))
    assert [row["update"] for row in rows] == ["1", "2", "3", "4"] and float(rows[0]["cost"]) > 0
    config = run.config_path.read_text()
    assert "env: lost_sales" in config and "learning_rate: 0.01" in config


def test_train_ends_with_a_table_for_people(capsys):
    train.main([*TINY, "--name", "read"])
    said = capsys.readouterr()
    assert "held-out demand, run read" in said.out and "base_stock" in said.out
    assert "than the best tuned rule" in said.out or "from the best tuned rule" in said.out
    assert "environment steps a second" in said.out
    assert "updates of 8 environments x 8 periods" in said.err


def test_the_same_seed_is_the_same_run(finished):
    train.main([*TINY, "--name", "again", "--json"])
    assert_same_outcome(Run.open("again"), finished)


def test_a_seed_in_the_configuration_counts_unless_one_is_given(tmp_path):
    (tmp_path / "mine.yaml").write_text("env: lost_sales\nseed: 7\nlearner:\n  updates: 1\n")
    arguments = ["mine.yaml", "lead_time=1", *SIZES, "--json"]
    train.main([*arguments, "--name", "own"])
    train.main([*arguments, "--name", "given", "--seed", "0"])
    seeds = [Experiment.load(Run.open(name).config_path).config.seed for name in ("own", "given")]
    assert seeds == [7, 0]
    assert Run.open("own").metrics_path.read_bytes() != Run.open("given").metrics_path.read_bytes()


def test_seeds_and_a_sweep_are_labelled_runs_of_one_program(capsys):
    train.main(
        [*TINY, "--seeds", "2", "--sweep", "learning_rate=1e-3,1e-2", "--json", "--name", "swept"]
    )
    document = document_of(capsys)
    labels = [f"learning_rate={rate} seed {seed}" for rate in ("0.001", "0.01") for seed in (0, 1)]
    assert [row["policy"] for row in document["evaluation"]] == [
        *(f"ppo {label}" for label in labels),
        "base_stock",
        "optimal",
    ]
    assert document["steps"] == 4 * (4 * 8 * 8)
    rows = list(csv.DictReader(Run.open("swept").metrics_path.open()))
    assert [row["run"] for row in rows] == 4 * labels
    assert len({row["cost"] for row in rows[-4:]}) == 4

    evaluate.main(["swept", "--json"])
    assert [row["policy"] for row in document_of(capsys)][:4] == [
        f"swept {label}" for label in labels
    ]


def test_a_sweep_of_sizes_is_one_run_each(capsys):
    train.main([*TINY, "updates=1", "--sweep", "hidden=[4],[8]", "--json", "--name", "sizes"])
    assert [document["run"] for document in document_of(capsys)] == ["sizes-1", "sizes-2"]
    assert Experiment.load(Run.open("sizes-1").config_path).config.learner.hidden == (4,)


def test_training_on_a_table_of_sales(capsys, tmp_path):
    random, days = np.random.default_rng(0), pd.date_range("2024-01-01", periods=120)
    week = np.array([1.0, 1, 1, 1, 2, 3, 0.5])
    mean = 3 * week[np.arange(120) % 7]
    table = pd.concat(
        pd.DataFrame(
            {"date": days, "sku": f"item {sku}", "sales": random.poisson((sku + 1) * mean)}
        )
        for sku in range(6)
    )
    table.to_csv(tmp_path / "sales.csv", index=False)
    train.main(
        [
            "--env",
            "retail",
            "data=sales.csv",
            "frequency=day",
            "lead_time=2",
            "history=7",
            "validation=0",
            "features=8",
            "heads=2",
            "layers=1",
            "updates=2",
            *SIZES,
            "--json",
            "--name",
            "shop",
        ]
    )
    rows = {row["policy"]: row for row in document_of(capsys)["evaluation"]}
    assert list(rows) == ["ppo", "ready", "base_stock", "base_stock per instance"]
    assert all(row["cost"] > 0 and 0 < row["fill_rate"] <= 1 for row in rows.values())
    evaluate.main(["shop", "base_stock", "--json"])
    again = {row["policy"]: row for row in document_of(capsys)}
    assert again["shop"]["cost"] == pytest.approx(rows["ppo"]["cost"], rel=1e-5)


AGENT_SIZES = {"ppo": ["minibatches=2", "epochs=1"], "diffsim": []} | dict.fromkeys(
    ("dqn", "ddpg", "sac"), ["capacity=640", "batch=32", "steps=4"]
)
PLAYED = [size for size in SIZES if not size.startswith(("minibatches", "epochs"))]


@pytest.mark.parametrize("agent", slow_but(["diffsim"], ["diffsim", "ddpg", "dqn", "sac"]))
def test_seeds_and_a_sweep_of_every_agent_resume_to_the_same_result(capsys, monkeypatch, agent):
    """With a penalty that has something to carry on, where there is one."""
    penalty = [] if agent == "diffsim" else ["penalty=potential"]
    arguments = [
        "--env",
        "lost_sales",
        "lead_time=1",
        f"agent={agent}",
        "updates=4",
        *PLAYED,
        *AGENT_SIZES[agent],
        *penalty,
        "--seeds",
        "2",
        "--sweep",
        "learning_rate=1e-3,1e-2",
        "--json",
    ]
    monkeypatch.setattr("jaxinv.evidence.HOPELESS", 100.0)  # four updates teach nothing
    train.main([*arguments, "--name", "through"])
    labels = [
        f"{agent} learning_rate={rate} seed {seed}" for rate in ("0.001", "0.01") for seed in (0, 1)
    ]
    assert [row["policy"] for row in document_of(capsys)["evaluation"]] == [
        *labels,
        "base_stock",
        "optimal",
    ]

    class AfterTwo:
        def __bool__(self):
            return len(Run.open("halves").metrics_path.read_text().splitlines()) > 2 * 4

    with monkeypatch.context() as patch:
        patch.setattr(training, "interruptible", lambda: contextlib.nullcontext(AfterTwo()))
        with pytest.raises(Interrupted, match="saved at update 2 of 4"):
            train.main([*arguments, "--name", "halves"])
    train.main(["--resume", "halves", "--json"])
    assert_same_outcome(Run.open("halves"), Run.open("through"))


# --- interruption and resume ----------------------------------------------------------------------


def test_an_interrupted_and_resumed_run_ends_as_an_uninterrupted_one(finished, monkeypatch):
    class AfterTwo:
        def __bool__(self):
            return len(Run.open("halves").metrics_path.read_text().splitlines()) > 2

    with monkeypatch.context() as patch:
        patch.setattr(training, "interruptible", lambda: contextlib.nullcontext(AfterTwo()))
        with pytest.raises(
            Interrupted,
            match="saved at update 2 of 4; go on with: python -m jaxinv.train --resume halves$",
        ):
            train.main([*TINY, "--name", "halves", "--json"])
    run = Run.open("halves")
    assert run.updates() == [2] and not run.summary_path.exists()
    with run.metrics_path.open("a") as file:
        file.write("3,4.")  # what a kill leaves
    train.main(["--resume", "halves", "--json"])
    assert_same_outcome(run, finished)


def test_a_finished_run_resumed_is_judged_again(capsys, finished):
    before = finished.metrics_path.read_bytes()
    train.main(["--resume", str(finished.path), "--json"])
    document = document_of(capsys)
    assert document["steps"] == 0 and document["steps_per_second"] is None
    assert finished.metrics_path.read_bytes() == before


def test_ctrl_c_saves_says_how_to_go_on_and_resumes_to_the_same_numbers():
    arguments = [*TINY, "updates=4000", "--json"]
    command = [sys.executable, "-m", "jaxinv.train", *arguments, "--name", "stopped"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run = Run(Path("runs/stopped"))
    while not run.metrics_path.exists():
        assert child.poll() is None, child.communicate()
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    out, said = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, "") and "Traceback" not in said
    assert "go on with: python -m jaxinv.train --resume stopped" in said
    stopped = run.updates()[-1]
    assert 0 < stopped < 4000
    train.main(["--resume", "stopped", "--json"])
    train.main([*arguments, "--name", "through"])
    assert_same_outcome(run, Run.open("through"))


def test_ctrl_c_while_rules_are_tuned_says_that_the_policy_is_saved(finished, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("jaxinv.evidence.tune_rules", interrupt)
    with pytest.raises(
        Interrupted, match="the trained policy is saved; judge it with: .* --resume whole --runs /"
    ):
        train.main(["--resume", str(finished.path), "--json"])


def test_ctrl_c_before_the_first_update_leaves_nothing(monkeypatch, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("jaxinv.agents.loop.Trainer.compile", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train.main([*TINY, "--json"])
    assert not list((tmp_path / "runs").iterdir())


def test_a_run_killed_before_its_first_checkpoint_resumes_from_the_beginning(finished):
    run = Run.create("runs", "killed", config_text=finished.config_path.read_text())
    run.log(1, {"cost": 1.0})
    run.release()
    train.main(["--resume", "killed", "--json"])
    assert_same_outcome(run, finished)


def test_a_run_that_another_process_writes_is_not_resumed(capsys, finished):
    holder = Run.open(finished.path)
    holder.hold()
    before = finished.metrics_path.read_bytes()
    try:
        said = mistake(capsys, train, "--resume", str(finished.path))
    finally:
        holder.release()
    assert f"run 'whole' is being written by process {os.getpid()}" in said
    assert finished.metrics_path.read_bytes() == before


def test_fewer_updates_than_are_done_are_refused_and_more_go_on(capsys, finished):
    run = Run(Path("runs/shorter"))
    shutil.copytree(finished.path, run.path)
    config = run.config_path.read_text()
    run.config_path.write_text(config.replace("updates: 4", "updates: 3"))
    said = mistake(capsys, train, "--resume", "shorter", "--json")
    assert (
        "run 'shorter' has done 4 updates, more than updates=3 of its config.yaml; give it at"
        " least 4" in said
    )
    run.config_path.write_text(
        config.replace("updates: 4", "updates: 90")
    )  # stretches of 2, which 86 is a multiple of
    train.main(["--resume", "shorter", "--json"])
    assert document_of(capsys)["steps"] == 86 * 8 * 8 and run.updates()[-1] == 90


# --- training that breaks down --------------------------------------------------------------------


def assert_finite(state):
    assert all(bool(np.all(np.isfinite(leaf))) for leaf in jax.tree.leaves(state.params))


def test_training_that_breaks_down_keeps_the_last_good_state(capsys):
    wild = ["learning_rate=1e12", "max_grad_norm=1e12", "hidden=8,8,8,8", "activation=relu"]
    said = mistake(capsys, train, *TINY, *wild, "--name", "wild", "--json")
    assert "training broke down in update 1: " in said and "is not a finite number" in said
    assert "The state after update 0 is kept in runs/wild" in said
    update, state = trained_state(Run.open("wild"))
    assert update == 0
    assert_finite(state)


CAUSES = {
    "ppo": "It never orders; a smaller learning_rate",
    "diffsim": "training has stopped learning: every gradient is zero. A smaller learning_rate",
    "dqn": "training diverged: the error of the critic .* A smaller learning_rate",
    "ddpg": "ddpg did not learn: .* It diverged .*; a smaller learning_rate",
    "sac": "training broke down in update 1: .* A smaller learning_rate",
}


@pytest.mark.parametrize("agent", slow_but(["diffsim"], CAUSES))
def test_every_agent_that_runs_away_names_the_cause_and_the_setting(capsys, agent):
    said = mistake(
        capsys, train, "--env", "lost_sales", "lead_time=1", f"agent={agent}", "updates=60",
        *PLAYED, *AGENT_SIZES[agent],
        "learning_rate=1e3", "--json",
    )  # fmt: skip
    assert re.search(CAUSES[agent], said), said


def test_a_policy_that_never_orders_says_so_and_names_the_form(capsys):
    said = mistake(
        capsys,
        train,
        *TINY,
        "updates=20",
        "form=none",
        "learning_rate=100",
        "seed=2",
        "--name",
        "silent",
        "--json",
    )
    assert (
        "It never orders; a smaller learning_rate, another seed or, if it has another form,"
        " form=base" in said
    )
    assert Run.open("silent").summary_path.exists()


def test_a_later_break_down_keeps_what_was_learned_until_then(capsys, finished, monkeypatch):
    advance = Trainer.advance

    def broken(self, state, updates):
        after, metrics = advance(self, state, updates)
        if int(state.learner.update) == 2:
            after, metrics = (
                jax.tree.map(lambda leaf: leaf * np.nan, after.params),
                {
                    **metrics,
                    "kl": np.array([np.nan]),
                },
            )
        return after, metrics

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", broken)
        said = mistake(capsys, train, *TINY, "--name", "later", "--json")
    assert "training broke down in update 3: kl is not a finite number" in said
    run = Run.open("later")
    update, state = trained_state(run)
    assert update == 2 and "nan" not in run.metrics_path.read_text()
    assert_finite(state)
    train.main(["--resume", "later", "--json"])  # what broke it was ours alone
    assert_same_outcome(run, finished)


# --- evaluate and tune ----------------------------------------------------------------------------


def test_evaluate_rules_and_runs_on_the_same_demand(capsys, finished):
    evaluate.main(["whole", "base_stock", "--runs", str(finished.path.parent), "--json"])
    rows = document_of(capsys)
    assert [row["policy"] for row in rows] == ["whole", "base_stock", "optimal"] and all(
        row.keys() >= ROW for row in rows
    )
    assert rows[1]["difference"] == 0.0
    summary = json.loads(finished.summary_path.read_text())["evaluation"]
    assert rows[0]["cost"] == pytest.approx(summary[0]["cost"], rel=1e-6)

    evaluate.main(["base_stock", "constant_order", "--env", "lost_sales", "lead_time=1", "paths=8"])
    said = capsys.readouterr().out
    assert "lost_sales: held-out demand" in said and "constant_order" in said


def test_tune_prints_parameters_in_units(capsys):
    tune.main(["base_stock", "lost_sales", "lead_time=1", "--periods", "100000", "--json"])
    document = document_of(capsys)
    assert {"rule", "parameters", "cost", "cost_interval"} <= document.keys()
    assert document["rule"] == "base_stock" and 5 < document["parameters"]["level"][0][0] < 15
    tune.main(["base_stock", "lost_sales", "lead_time=1", "--periods", "100000"])
    assert "base_stock: cost" in capsys.readouterr().out


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--env", "lost_sale"], "unknown preset 'lost_sale'; did you mean 'lost_sales'"),
        (["agent=pppo"], "unknown agent 'pppo'; did you mean 'ppo'"),
        (
            ["--env", "lost_sales", "lead_tme=2"],
            "lead_tme=2: unknown key 'lead_tme'; did you mean 'lead_time'",
        ),
        (["--evn", "lost_sales"], "unknown option '--evn'; did you mean '--env'"),
        (
            ["--env", "lost_sales", "rules=base_stok"],
            "unknown rule 'base_stok'; did you mean 'base_stock'",
        ),
        (["--env", "lost_sales", "rules=dual_index"], "rule dual_index does not apply"),
        (["--env", "lost_sales", "lead_time=-1"], "lead_time=-1 must be at least 0"),
        (["--env", "lost_sales", "lead_time=two"], "lead_time must be a whole number, not 'two'"),
        (
            ["--env", "lost_sales", "lead_time_pmf=0.5,0.6"],
            "lead_time_pmf.*probabilities must sum to 1",
        ),
        (["--env", "lost_sales", "lead_time_pmf=0.5,-0.5"], "lead_time_pmf.*probability in 0..1"),
        (["--env", "lost_sales", "lead_time_pmf=0,0"], "lead_time_pmf.*all zero"),
        (
            ["--env", "lost_sales", "weights.holding=0", "weights.shortage=0"],
            "weights are all zero",
        ),
        (
            ["--env", "lost_sales", "weights.holdng=2"],
            "'weights.holdng'; did you mean 'instance.weights.holding'",
        ),
        (
            ["--env", "lost_sales", "demand=poison"],
            "unknown demand law 'poison'; did you mean 'poisson'",
        ),
        (["--env", "lost_sales", "mean=-5"], "mean.*above 0"),
        (["--env", "lost_sales", "horizon=0"], "horizon=0 must be above 0"),
        (
            ["--env", "lost_sales", "envs=10", "minibatches=4"],
            "envs=10 must be a multiple of minibatches=4",
        ),
        (["--env", "lost_sales", "form=bse"], "unknown decode form 'bse'; did you mean 'base'"),
        (["--env", "lost_sales", "discount=1.2"], "discount=1.2 must lie in 0..1"),
        (["--env", "lost_sales", "paths=0"], "paths=0 must be at least 1"),
        (["--env", "lost_sales", "--seeds", "0"], "seeds=0 must be at least 1"),
        (["--env", "lost_sales", "--seeds", "two"], "argument --seeds: invalid int value: 'two'"),
        (
            ["--env", "lost_sales", "--sweep", "lerning_rate=1,2"],
            "unknown key 'lerning_rate'; did you mean 'learning_rate'",
        ),
        (
            ["--env", "lost_sales", "--sweep", "learning_rate=fast"],
            "learning_rate: 'fast' is not a number",
        ),
        (["--env", "lost_sales", "--sweep", "learning_rate"], "a sweep is written key=a,b,c"),
        (
            ["--env", "one_warehouse_many_stores", "correlation=1.5"],
            "correlation=1.5 must lie in 0..1",
        ),
        (["--env", "lost_sales", "--name", "../x"], "run name '../x'"),
        (["nowhere.yaml"], "no configuration file 'nowhere.yaml'"),
        (["a.yaml", "b.yaml"], "one CONFIG at most, not 2"),
        (["."], "is a directory, not a configuration file"),
        (["--resume", "nothing"], "no run 'nothing': runs has no runs yet"),
        (["--resume", "nothing", "updates=3"], "give no other option beside it"),
        (["--env", "retail"], "retail needs data=FILE"),
    ],
)
def test_a_mistake_is_one_message_and_leaves_no_run(capsys, tmp_path, arguments, message):
    said = mistake(capsys, train, *arguments, "--json")
    assert re.search(message, said), said
    assert not (tmp_path / "runs").exists()


def table_of(**changes) -> str:
    """A sales file of two SKUs and 100 days; a change replaces the text of a line."""
    lines = ["date,sku,sales"]
    lines += [
        f"{day:%Y-%m-%d},{sku},{3 + day.day % 4}"
        for sku in "ab"
        for day in pd.date_range("2024-01-01", periods=100)
    ]
    for line, text in changes.items():
        lines[int(line.removeprefix("line"))] = text
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "sales.csv"),
        (b"", "sales.csv.*empty"),
        (b"date,sku,sales\n", "sales.csv"),
        (b"\x00\xff\xfe" * 100, "sales.csv.*not.*text"),
        (table_of(line0="date,sku,sold"), "sales.csv.*sales"),
        (table_of(line3="yesterday,a,3"), "sales.csv.*line 4.*yesterday"),
        (table_of(line3="2024-01-02,a,3"), "sales.csv.*(same|twice|duplicate|repeat)"),
        (table_of(line3="2024-01-03,a,-3"), "sales.csv.*(negative|below 0|-3)"),
        (table_of(line3="2024-01-03,a,"), "sales.csv.*(missing|empty)"),
        (table_of(line3="2024-01-03,a,many"), "sales.csv.*many"),
    ],
)
def test_a_bad_sales_file_is_one_message_and_leaves_no_run(capsys, tmp_path, content, message):
    if content is not None:
        (tmp_path / "sales.csv").write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
    with pytest.raises(SystemExit) as end:
        run_command(
            train.main,
            ["--env", "retail", "data=sales.csv", "frequency=day", "history=7", "horizon=14"],
        )
    said = capsys.readouterr()
    assert end.value.code == 2 and said.out == "" and "Traceback" not in said.err
    assert re.search(message, said.err, re.S), said.err
    assert not (tmp_path / "runs").exists()


def test_a_directory_and_too_short_data_are_told(capsys, tmp_path):
    (tmp_path / "folder").mkdir()
    assert "folder" in mistake(capsys, train, "--env", "retail", "data=folder")
    (tmp_path / "sales.csv").write_text(table_of())
    said = mistake(
        capsys,
        train,
        "--env",
        "retail",
        "data=sales.csv",
        "frequency=day",
        "history=60",
        "horizon=40",
    )
    assert "fewer than the 101 that history=60 and horizon=40 take" in said


@pytest.mark.parametrize(
    "command, arguments, message",
    [
        (evaluate, [], "name a run or rules to evaluate, or an --env"),
        (evaluate, ["base_stock"], "rules need a problem: add --env PRESET"),
        (
            evaluate,
            ["base_stok", "--env", "lost_sales"],
            "unknown run or rule 'base_stok'; did you mean 'base_stock'\\?$",
        ),
        (
            evaluate,
            ["zzz", "--env", "lost_sales"],
            r"unknown run or rule 'zzz'; of \d+ the nearest are \w+(, \w+){4}$",
        ),
        (evaluate, ["dual_index", "--env", "lost_sales"], "rule dual_index does not apply"),
        (
            evaluate,
            ["base_stock", "--env", "lost_sales", "lead_time=-1"],
            "lead_time=-1 must be at least 0",
        ),
        (tune, [], "give a RULE and a PRESET"),
        (tune, ["base_stok", "lost_sales"], "unknown rule 'base_stok'; did you mean 'base_stock'"),
        (
            tune,
            ["base_stock", "lost_sale"],
            "unknown preset 'lost_sale'; did you mean 'lost_sales'",
        ),
        (tune, ["dual_index", "lost_sales"], "dual_index needs a node with two suppliers"),
        (
            tune,
            ["base_stock", "lost_sales", "--method", "serch"],
            "unknown .*'serch'; did you mean 'search'",
        ),
        (tune, ["base_stock", "lost_sales", "--periods", "0"], "periods"),
        (tune, ["base_stock", "lost_sales", "--periods", "-5"], "periods"),
        (tune, ["base_stock", "lost_sales", "--per-instance"], "instance"),
    ],
)
def test_mistakes_in_evaluate_and_tune(capsys, command, arguments, message):
    assert re.search(message, mistake(capsys, command, *arguments))


def test_tune_says_what_was_odd_in_the_data(capsys, tmp_path):
    """As train and evaluate do, before anything is computed."""
    file = case("one_odd_date", tmp_path)
    with pytest.raises(UserError, match="dual_index needs a node with two suppliers"):
        tune.main(["dual_index", "retail", f"data={file}", "history=4", "horizon=20"])
    assert "2023-" in capsys.readouterr().err.splitlines()[0]


def test_a_run_is_evaluated_on_its_own_problem(capsys, finished):
    said = mistake(capsys, evaluate, "whole", "--runs", str(finished.path.parent), "lead_time=3")
    assert "evaluated on the problem it was trained for" in said


def test_a_mistake_in_a_process_of_its_own():
    done = subprocess.run(
        [sys.executable, "-m", "jaxinv.train", "--env", "lost_sale"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: unknown preset 'lost_sale'; did you mean 'lost_sales'?\n"


def test_the_readme_tells_the_command_that_ci_runs():
    root = Path(__file__).parents[1]
    command = (root / ".ci" / "run").read_text().splitlines()[-1]
    assert command == "pip install -e '.[test]' && pytest"
    assert f"\n{command}\n" in (root / "README.md").read_text()
