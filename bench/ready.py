"""The ready policy beside rules that are tuned on public sales, and beside exact optima.

    python bench/ready.py DATA_FOLDER [--quick] [--only NAME] [--out bench/results/ready.json]

DATA_FOLDER holds the public data sets by name, as they come; tables that are in another form than
the sales schema are brought into it here. What is measured is `jaxinv.studies.ready`.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from about import about, heading

from jaxinv.studies import ready


def store_items(file: Path) -> pd.DataFrame:
    return pd.read_csv(file).rename(columns={"item": "sku", "store": "location"})


def orange_juice(file: Path) -> pd.DataFrame:
    """By store and brand; a unit is 64 ounces."""
    table = pd.read_csv(file)
    begins = pd.Timestamp("1989-09-14") + pd.to_timedelta(7 * table["week"], unit="D")
    units = (table["units"] / 64).round()
    return pd.DataFrame(
        {"date": begins, "sku": table["brand"], "location": table["store"], "sales": units}
    )


DATA: dict[str, tuple[str, Callable[[Path], pd.DataFrame] | None]] = {
    "favorita": ("favorita_weekly_21_stores", None),
    "online_retail": ("online_retail/online_retail_daily.csv.gz", None),
    "m5": ("m5/m5_items_2_stores_daily.csv.gz", None),
    "store_item_demand": ("store_item_demand/store_item_demand.csv.gz", store_items),
    "orange_juice": ("orange_juice/orange_juice.csv.gz", orange_juice),
    "retail_store_inventory": ("retail_store_inventory/retail_store_inventory.csv.gz", None),
}
"""File of each data set, and what brings it into the sales schema, where it is not read as it
comes.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="folder of the public data sets")
    parser.add_argument("--quick", action="store_true", help="no trainings, fewer instances")
    parser.add_argument("--only", default="", help="one of the data sets, or lost_sales")
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "ready.json"))
    options = parser.parse_args()
    facts = about()
    print(heading(facts))
    rows = []
    for name in [options.only] if options.only else ["lost_sales", *DATA]:
        for row in measured(name, Path(options.data), options.quick):
            interval = row["interval"] and [round(end, 2) for end in row["interval"]]
            print(f"{row['claim']}: {row['ours']:.2f} {interval or ''} {row['note']}", flush=True)
            rows.append(row)
        Path(options.out).write_text(json.dumps(dict(**facts, rows=rows), indent=1) + "\n")


def measured(name: str, folder: Path, quick: bool):
    """Rows of one part."""
    if name == "lost_sales":
        yield from ready.lost_sales(quick)
        return
    file, made = DATA[name]
    with tempfile.TemporaryDirectory() as scratch:
        path = folder / file
        if made:
            path = Path(scratch) / f"{name}.csv"
            made(folder / file).to_csv(path, index=False)
        yield from ready.on_sales(str(path), quick, name)


if __name__ == "__main__":
    main()
