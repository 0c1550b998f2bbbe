"""The registry of published instances and the study that measures them."""

import pytest

from jaxinv.errors import UserError
from jaxinv.instances import FAMILIES, INSTANCES, Instance, Published, instances_of
from jaxinv.studies import deepstock_optimum
from jaxinv.studies import instances as study

ROW = {"claim", "paper", "ours", "interval", "interval_over", "holds", "verdict", "note", "source"}


def named(name):
    return next(instance for instance in INSTANCES if instance.name == name)


def test_names_are_unique_and_families_are_whole():
    names = [instance.name for instance in INSTANCES]
    assert len(set(names)) == len(names)
    assert sum(len(instances_of(family)) for family in FAMILIES) == len(INSTANCES)
    assert all(instance.source and instance.published for instance in INSTANCES)
    with pytest.raises(
        UserError, match="unknown family of instances 'lost_sale'; did you mean 'lost_sales'"
    ):
        instances_of("lost_sale")


@pytest.mark.parametrize("instance", INSTANCES, ids=lambda instance: instance.name)
def test_every_claim_has_a_measure(instance):
    for claim in instance.published:
        rule = claim.removeprefix("gap of ").removesuffix(", %")
        assert rule in study.MEASURES and (rule == claim or claim == f"gap of {rule}, %")


@pytest.mark.parametrize(
    "instance", [one for one in INSTANCES if one.preset], ids=lambda instance: instance.name
)
def test_every_instance_builds(instance):
    problem = instance.problem()
    assert problem.single and problem.env.name == instance.preset


def test_a_claim_without_a_measure_is_told():
    with pytest.raises(UserError, match="no measure called 'profit'"):
        study.compute(study.SolvedInstance(INSTANCES[0]), "profit")


def test_cheap_families_are_reproduced():
    rows = list(study.run(quick=True, parts=["serial", "beer_game"]))
    assert len(rows) == 2 and all(row.keys() == ROW and row["holds"] for row in rows)
    assert {row["verdict"] for row in rows} == {"reproduced"}


def test_all_claims_of_a_lost_sales_cell_hold(monkeypatch):
    cell = named("lost sales, poisson, p=4, L=2")
    monkeypatch.setattr(study, "INSTANCES", (cell,))
    rows = list(study.run())
    assert [row["claim"].split(": ")[1] for row in rows] == [
        "optimal",
        "capped_base_stock",
        "base_stock",
    ]
    assert all(row["holds"] and row["interval"] == [row["ours"], row["ours"]] for row in rows)


def test_a_number_that_is_not_ours_differs(monkeypatch):
    cell = named("lost sales, poisson, p=4, L=1")
    for excuse, verdict in (("", "differs"), ("misprint", "not reproducible")):
        wrong = Instance(
            cell.name,
            cell.family,
            cell.source,
            cell.preset,
            cell.options,
            {"optimal": Published(4.1, 0.01, excuse)},
        )
        monkeypatch.setattr(study, "INSTANCES", (wrong,))
        (row,) = study.run()
        assert not row["holds"] and row["verdict"] == verdict and row["note"] == excuse


def test_quick_leaves_slow_instances_out(monkeypatch):
    monkeypatch.setattr(study, "INSTANCES", tuple(one for one in INSTANCES if one.slow))
    assert study.INSTANCES and list(study.run(quick=True)) == []


def test_the_deepstock_optimum():
    problem = named("DeepStock, setting 1").problem()
    assert abs(deepstock_optimum.expected_cost(problem) - 0.854286) < 2e-6
