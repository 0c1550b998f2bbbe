"""The registry of published instances is whole, and the study runs it."""

import pytest

from jaxinv.errors import UserError
from jaxinv.instances import FAMILIES, INSTANCES, instances_of
from jaxinv.studies.instances import MEASURES, run

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_names_are_unique_and_every_instance_has_a_source_and_a_number():
    names = [instance.name for instance in INSTANCES]
    assert len(set(names)) == len(names)
    assert all(instance.source and instance.published for instance in INSTANCES)
    assert sum(len(instances_of(family)) for family in FAMILIES) == len(INSTANCES)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_instance_builds_and_every_claim_has_a_measure(family):
    for instance in instances_of(family):
        if instance.preset:
            instance.problem()
        for claim, published in instance.published.items():
            assert claim.removeprefix("gap of ").removesuffix(", %") in MEASURES and published.error > 0


def test_a_family_is_reproduced():
    rows = list(run(quick=True, parts=["serial"]))
    assert rows and all(row["holds"] and row["verdict"] == "reproduced" for row in rows)


def test_an_unknown_family_is_told():
    with pytest.raises(UserError, match="unknown family of instances 'lost_sale'; did you mean 'lost_sales'"):
        list(run(parts=["lost_sale"]))
