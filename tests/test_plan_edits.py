"""Whatever is done to a good plan's files: a plan, or one message with the file; never a crash,
never half a result.
"""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_plan_tables import GOOD, folder

from jaxinv.data.plan import read_plan
from jaxinv.data.plan.look import look
from jaxinv.data.plan.written import plan_text
from jaxinv.envs.retail import Retail
from jaxinv.errors import UserError

CELLS = [
    "",
    "-1",
    "0",
    "1e9",
    "NaN",
    "inf",
    "x",
    "=1+1",
    "2024-03-01",
    "01/02/2024",
    "31.12.2023",
    "1,5",
    '"1,5"',
    "1.234",
    "w",
    "y",
    "007",
    "Mon",
    "0|5",
    "$3",
    "9" * 400,
]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.data())
def test_random_edits_never_crash(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("edited")
    tables = dict(GOOD)
    for _ in range(data.draw(st.integers(1, 5))):
        name = data.draw(st.sampled_from([table for table in tables if tables[table]]))
        lines = tables[name].split("\n")
        at, kind = data.draw(st.integers(0, min(len(lines) - 1, 8))), data.draw(st.integers(0, 5))
        if kind < 3:
            cells = lines[at].split(",")
            cells[data.draw(st.integers(0, len(cells) - 1))] = data.draw(st.sampled_from(CELLS))
            lines[at] = ",".join(cells)
        elif kind == 3:
            lines.insert(at, lines[data.draw(st.integers(0, len(lines) - 1))])
        elif kind == 4:
            del lines[at]
        else:
            lines = [line.replace(",", ";") for line in lines]
        tables[name] = "\n".join(lines)
        if name != "sales" and data.draw(st.integers(0, 9)) == 0:
            tables[name] = None
    try:
        plan = read_plan(folder(path, **tables))
    except UserError as error:
        assert str(path) in str(error) and "problem" in str(error)
        return
    assert np.isfinite(plan.sales["sales"]).all() and plan.settings.as_of and plan.fingerprint
    full = plan.full_items
    assert (full[["cost", "price", "shortage_cost", "pack", "minimum"]].notna()).all(axis=None)
    assert (
        plan.full_lanes[["lead_time", "lead_time_spread", "every", "unit_cost", "fixed_cost"]]
        .notna()
        .all(axis=None)
    )
    look(plan)
    (path / "plan.yaml").write_text(plan_text(plan, path))
    assert read_plan(path).fingerprint == plan.fingerprint


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\1\2" * 50,
        b"PK\x03\x04",
        b"\x1f\x8b0",
        "a;b\n1;2\n".encode("utf-16"),
        b"sku\n",
        b"\xff" * 40,
    ],
)
@pytest.mark.parametrize("name", ["items", "lanes", "sales"])
def test_files_that_are_no_tables(tmp_path, name, content):
    folder(tmp_path)
    (tmp_path / f"{name}.csv").write_bytes(content)
    if content == b"sku\n" and name == "items":
        assert len(read_plan(tmp_path).items) == 0
        return
    with pytest.raises(UserError, match=f"{name}.csv: "):
        read_plan(tmp_path)


def test_the_process_ends_with_code_2_and_writes_nothing(tmp_path):
    folder(
        tmp_path, items=GOOD["items"].replace("3,4", "-3,4"), lanes=GOOD["lanes"] + "x,w,1,,,,\n"
    )
    before = sorted(tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "jaxinv.inspect", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and not done.stdout and sorted(tmp_path.iterdir()) == before
    assert done.stderr.splitlines() == [
        "error: .: 2 problems",
        (
            "  - items.csv: column 'cost' is negative in line 3 (first: '-3'); write at least 0, or"
            " leave it empty (price times (1 - margin); 1 where no price is known)"
        ),
        "  - lanes.csv: lanes go in a circle, w -> x -> w, in lines 3, 5; take out one of them",
    ]


def test_retail_takes_what_messages_say_to_type(tmp_path):
    path = tmp_path / "sales.csv"
    path.write_text("date;sku;sales\n03/04/2024;a;1.250\n04/04/2024;a;-1\n04/04/2024;a;2\n")
    with pytest.raises(UserError) as caught:
        Retail(data=str(path)).read()
    for word in ("dates=dmy", "decimal=,", "returns=net", "lines=sum"):
        assert word in str(caught.value)
    table = Retail(data=str(path), dates="dmy", decimal=",", returns="net", lines="sum").read()
    assert table["sales"].tolist() == [1250, 1]
