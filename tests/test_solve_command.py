"""`solve`, `reproduce`, and the optimum in `evaluate`, as a user types them."""

import csv
import json
import re

import pytest

from jaxinv import evaluate, reproduce, solve
from jaxinv.cli import run_command
from jaxinv.instances import INSTANCES
from jaxinv.studies import instances as study

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxinv.evidence.LEAST_PERIODS", 100_000)


def document_of(capsys):
    return json.loads(capsys.readouterr().out)


def mistake(capsys, command, *arguments) -> str:
    """The one message of a command that refuses its arguments."""
    with pytest.raises(SystemExit) as end:
        run_command(command.main, list(arguments))
    said = capsys.readouterr()
    assert (end.value.code, said.out) == (2, "")
    assert said.err.startswith("error: ") and said.err.count("\n") == 1, said.err
    return said.err


def test_solve_prints_one_document(capsys):
    solve.main(["lost_sales", "lead_time=1", "--json"])
    document = document_of(capsys)
    assert abs(document["average_cost"] - 4.04071) < 1e-4
    low, high = document["interval"]
    assert low <= document["average_cost"] <= high
    assert document["states"] > 1 and document["iterations"] > 1 and document["seconds"] > 0
    assert 0 <= document["truncated_probability"] < 1e-4
    assert (document["env"], document["method"], document["parameters"]) == (
        "lost_sales",
        "value iteration",
        None,
    )


def test_solve_gives_the_parameters_of_a_closed_form(capsys):
    solve.main(["serial", "--json"])
    document = document_of(capsys)
    assert (
        document["method"] == "Clark & Scarf"
        and document["states"] is document["iterations"] is None
    )
    assert list(document["parameters"]) == ["level"] and len(document["parameters"]["level"]) == 4
    assert document["parameters"]["level"] == sorted(document["parameters"]["level"], reverse=True)
    solve.main(["backlog", "lead_time=1", "fixed_cost=8"])
    said = capsys.readouterr().out
    assert "Zheng & Federgruen" in said and "reorder:" in said and "gap:" in said


def test_a_discount_and_files(capsys, tmp_path):
    solve.main(
        ["lost_sales", "lead_time=2", "mean=2", "--discount", "0.95", "--out", "solved/here"]
    )
    said = capsys.readouterr()
    assert "optimal average cost" in said.out and "mean order, by stock" in said.out
    rows = list(csv.DictReader((tmp_path / "solved/here/policy.csv").open()))
    assert abs(sum(float(row["share of periods"]) for row in rows) - 1) < 1e-6
    assert {"on hand store", "ordered 1 ago supplier-store", "order supplier-store"} <= rows[
        0
    ].keys()
    assert f"{len(rows):,} visited states" in said.err
    assert (tmp_path / "solved/here/policy.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_measures_gaps_to_the_optimum(capsys):
    evaluate.main(
        ["optimal", "capped_base_stock", "--env", "lost_sales", "lead_time=1", "paths=64", "--json"]
    )
    rows = {row["policy"]: row for row in document_of(capsys)}
    assert set(rows) == {"capped_base_stock", "optimal"}
    assert {row["reference"] for row in rows.values()} == {"optimum"}
    assert rows["optimal"]["gap"] == 0 and rows["optimal"]["gap_interval"] == [0, 0]
    assert 0 < rows["capped_base_stock"]["gap"] < 0.05


def test_without_an_optimum_gaps_are_to_a_lower_bound(capsys):
    evaluate.main(
        [
            "base_stock",
            "--env",
            "lost_sales",
            "lead_time=2",
            "integer_orders=false",
            "paths=16",
            "--json",
        ]
    )
    (row,) = document_of(capsys)
    assert row["reference"] == "lower bound" and row["gap"] > 0


def test_reproduce_prints_rows(capsys, monkeypatch):
    reproduce.main(["instances", "serial", "--json"])
    (row,) = document_of(capsys)
    assert {"claim", "paper", "ours", "interval", "holds"} <= row.keys() and row["holds"]
    cell = next(one for one in INSTANCES if one.name == "lost sales, poisson, p=9, L=1")
    monkeypatch.setattr(study, "INSTANCES", (cell,))
    reproduce.main(["instances", "--quick"])
    said = capsys.readouterr()
    assert "3 of 3 claims hold" in said.out and "5.43822 in print" in said.err


@pytest.mark.parametrize(
    "command, arguments, message",
    [
        (solve, [], "give one PRESET, as in `lost_sales lead_time=4`, not nothing"),
        (solve, ["lost_sales", "backlog"], "give one PRESET.*not lost_sales backlog"),
        (solve, ["lost_sale"], "unknown preset 'lost_sale'; did you mean 'lost_sales'"),
        (
            solve,
            ["lost_sales", "--discount", "2"],
            "--discount 2.0 must lie above 0 and at most at 1",
        ),
        (solve, ["lost_sales", "--tolerance", "0"], "--tolerance 0.0 must be above 0"),
        (solve, ["lost_sales", "--out", "taken"], "--out taken is a file; give a folder"),
        (solve, ["serial", "--out", "folder"], "no table to write"),
        (solve, ["cross_border"], "cross_border has [0-9]+ instances, each a problem of its own"),
        (solve, ["lost_sales", "lead_time=12"], "states x .* orders need about"),
        (
            evaluate,
            ["optimal", "--env", "lost_sales", "lead_time=12", "--json"],
            "states x .* orders need about",
        ),
        (reproduce, [], "name a study: instances"),
        (reproduce, ["instance"], "unknown study 'instance'; did you mean 'instances'"),
        (
            reproduce,
            ["instances", "lost_sale"],
            "unknown family of instances 'lost_sale'; did you mean 'lost_sales'",
        ),
        (reproduce, ["instances", "mean=3"], "a study has its own parameters; leave out mean=3"),
    ],
)
def test_mistakes(capsys, tmp_path, command, arguments, message):
    (tmp_path / "taken").write_text("")
    said = mistake(capsys, command, *arguments)
    assert re.search(message, said), said
