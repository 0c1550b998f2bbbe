"""Kaggle "Retail Store Inventory"."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from jaxinv.data.files import pick, read_csv
from jaxinv.data.schema import validate
from jaxinv.errors import UserError


def retail_store_inventory(
    path: str | Path, columns: Mapping[str, str] | None = None, known_ahead: Sequence[str] = ()
) -> pd.DataFrame:
    """Kaggle "Retail Store Inventory": 5 stores x 20 products, daily; synthetic noise by
    construction.

    Dropped: `Demand Forecast`, which is the realised sales plus noise and so leaks them;
    `Units Ordered` (an action); category, region, weather and season, which change at random from
    row to row.

    Args:
      columns, known_ahead: of a table; this file's columns are settled, and both are refused.
    """
    names = {
        "date": "Date", "sku": "Product ID", "sales": "Units Sold",
        "location": "Store ID", "stock": "Inventory Level", "price": "Price",
        "promotion": "Holiday/Promotion",
        "discount": "Discount", "competitor_price": "Competitor Pricing",
    }  # fmt: skip
    path = Path(path)
    wanted = [*(columns or {}).values(), *known_ahead]
    refuse_forecast(path, wanted)
    if wanted:
        raise UserError(
            f"{path}: columns and known_ahead name {wanted[0]!r}, and the columns of this source"
            " are settled; give reader=table to read it as any other table"
        )
    return validate(pick(read_csv(path), names.values(), path), str(path), names)


def refuse_forecast(path: Path, wanted: Iterable[str]) -> None:
    """Refuses the column of this source that was made of the sales it would foretell.

    Args:
      wanted: names of columns that somebody asks for, in any spelling.
    """
    for name in wanted:
        if re.sub(r"[^a-z]", "", str(name).lower()) == "demandforecast":
            raise UserError(
                f"{path}: {name!r} is refused: in Retail Store Inventory it is the sales of the"
                " same day plus noise, so it tells the outcome; leave it out"
            )
