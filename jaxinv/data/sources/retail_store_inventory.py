"""Kaggle "Retail Store Inventory"."""

from pathlib import Path

import pandas as pd

from jaxinv.data.files import pick, read_csv
from jaxinv.data.schema import validate


def retail_store_inventory(path: str | Path) -> pd.DataFrame:
    """Kaggle "Retail Store Inventory": 5 stores x 20 products, daily; synthetic noise by
    construction.

    Dropped: `Demand Forecast`, which is the realised sales plus noise and so leaks them;
    `Units Ordered` (an action); category, region, weather and season, which change at random from
    row to row.
    """
    names = {
        "date": "Date", "sku": "Product ID", "sales": "Units Sold",
        "location": "Store ID", "stock": "Inventory Level", "price": "Price",
        "promotion": "Holiday/Promotion",
        "discount": "Discount", "competitor_price": "Competitor Pricing",
    }  # fmt: skip
    path = Path(path)
    return validate(pick(read_csv(path), names.values(), path), str(path), names)
