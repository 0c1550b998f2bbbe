"""The study of SRDQN and GMRL, at its quick size."""

import pytest

from jaxinv.errors import UserError
from jaxinv.studies import rivals_network


def test_an_unknown_part_is_named():
    with pytest.raises(
        UserError, match="unknown part 'one_warehose'; did you mean 'one_warehouse'"
    ):
        next(rivals_network.run(parts=["one_warehose"]))


@pytest.mark.slow
def test_its_rows_are_whole():
    rows = list(rivals_network.run(quick=True))
    claims = [row["claim"] for row in rows]
    assert len(set(claims)) == len(claims) == 12
    told = {row["claim"]: row for row in rows}
    assert abs(told["base-stock at all places: % above the optimum"]["ours"]) < 1.0
    assert all(row["interval"] and row["note"] for row in rows if row["holds"] is not None)
