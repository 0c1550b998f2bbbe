"""UCI "Online Retail": a British wholesaler of gifts."""

from pathlib import Path

import pandas as pd

from jaxinv.data.files import file_beside, pick, read_csv
from jaxinv.data.schema import validate
from jaxinv.errors import UserError, unknown

RAW_INVOICES = ("InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice", "Country")


def online_retail(path: str | Path, country: str | None = "United Kingdom") -> pd.DataFrame:
    """UCI "Online Retail", units a day and stock code, from the daily file or the raw invoice
    lines.

    For the United Kingdom, `uk_2010_daily` is put in front where it lies beside the file:
    2010-01-04 to 2010-11-30 from there, later days from the file itself. It holds registered
    customers only, some 86% of the units on the days that both cover, so the level steps up on
    2010-12-01.

    A day whose cancelled units equal its units sold was entered by mistake and reversed at once:
    its sales are zero. This takes out the two outliers, 80,995 units of 23843 and 74,215 of 23166.
    Other cancellations mostly concern sales of earlier days, when the goods had left the shelf, and
    stay sales.

    There is no `price`: the mean invoice price of a day falls with the size of its orders
    (correlation of the logarithms -0.4), so it would tell the day's demand. Days without sales have
    no row; the shop does not trade on Saturdays.

    Args:
      path: `online_retail_daily.csv.gz`, or the raw invoices `online_retail.csv.gz`.
      country: one destination, or None for the sum of all (2010-12-01 on).
    """
    path = Path(path)
    frame = read_csv(path)
    if set(RAW_INVOICES) <= set(frame.columns):
        frame = _sum_invoices(frame, path)
    names = {
        "date": "date",
        "sku": "stock_code",
        "location": "country",
        "sales": "units",
        "cancelled_units": "cancelled_units",
    }
    frame = pick(frame, names.values(), path)
    sales = validate(
        frame, str(path), names, known_ahead=["cancelled_units"]
    )  # used here, then dropped
    if country is not None:
        if country not in set(sales["location"]):
            raise unknown(f"country in {path}", country, set(sales["location"]))
        sales = sales[sales["location"] == country]
    sales = sales[(sales["sales"] > 0) & (sales["sales"] != sales["cancelled_units"])]
    sales = sales.groupby(["sku", "date"], as_index=False)["sales"].sum()[["date", "sku", "sales"]]
    earlier = file_beside(path, "uk_2010_daily.csv")
    if country == "United Kingdom" and earlier:
        names = {"date": "date", "sku": "stock_code", "sales": "units"}
        before = validate(pick(read_csv(earlier), names.values(), earlier), str(earlier), names)
        before = before[before["date"] < sales["date"].min()]
        sales = pd.concat([before, sales]).sort_values(["sku", "date"], ignore_index=True)
    return sales


def _sum_invoices(lines: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Raw invoice lines -> the daily file: units sold and cancelled a day, stock code and country.

    Kept are lines of goods (a stock code of five digits and perhaps letters) with a positive price.
    """
    quantity, price = (
        pd.to_numeric(lines[name], errors="coerce") for name in ("Quantity", "UnitPrice")
    )
    for name, values in (("Quantity", quantity), ("UnitPrice", price)):
        bad = lines.index[values.isna()]
        if len(bad):
            raise UserError(
                f"{path}: column {name!r} is not a number in line {bad[0]} ({len(bad)} lines);"
                " write plain numbers"
            )
    bad = lines.index[~lines["InvoiceDate"].str.fullmatch(r"\d{4}-\d{2}-\d{2}(?:[T ].*)?")]
    if len(bad):
        raise UserError(
            f"{path}: column 'InvoiceDate' is not a date in line {bad[0]} ({len(bad)} lines; first:"
            f" {lines.loc[bad[0], 'InvoiceDate']!r}); write YYYY-MM-DD"
        )
    code = lines["StockCode"].str.upper()
    cancelled = lines["InvoiceNo"].str.upper().str.startswith("C")
    goods = code.str.fullmatch(r"\d{5}[A-Z]*") & (price > 0)
    daily = pd.DataFrame(
        {
            "date": lines["InvoiceDate"].str[:10],
            "stock_code": code,
            "country": lines["Country"],
            "units": quantity.where(~cancelled & (quantity > 0), 0.0),
            "cancelled_units": -quantity.where(cancelled & (quantity < 0), 0.0),
        }
    )[goods]
    return daily.groupby(["date", "stock_code", "country"], as_index=False).sum()
