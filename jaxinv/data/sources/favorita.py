"""Corporación Favorita, weekly, as prepared by Alvo et al."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from jaxinv.data.cells import LARGEST
from jaxinv.data.files import check_file, file_beside, pick, read_csv
from jaxinv.data.schema import validate
from jaxinv.data.wide import long_table
from jaxinv.errors import UserError


def favorita_weekly_21_stores(path: str | Path) -> pd.DataFrame:
    """Corporación Favorita, 288 items x 21 stores x 171 weeks, from Alvo et al., "Neural inventory
    control".

    `weeks.csv` must lie beside the `.npz`; weeks begin on Tuesdays. Ten negative values (returns)
    become zero. Covariates: `days_from_christmas` (-182 to 182) and `christmas`. The calendar's
    `earthquake` is dropped: nobody knew it in advance (and it is zero throughout).
    """
    path = Path(path)
    check_file(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if not isinstance(arrays, np.lib.npyio.NpzFile) or "weekly_sales" not in arrays:
                raise UserError(
                    f"{path}: no array 'weekly_sales' in it; give the weekly_sales.npz of Alvo"
                    " et al."
                )
            sales = arrays["weekly_sales"]
    except UserError:
        raise
    except (
        ValueError,
        OSError,
        EOFError,
        AttributeError,
        TypeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise UserError(
            f"{path}: not a readable .npz of plain arrays ({error}); fetch it again"
        ) from None
    weeks_path = file_beside(path, "weeks.csv")
    if weeks_path is None:
        raise UserError(
            f"{path.parent / 'weeks.csv'}: not there; {path.name} needs its calendar beside it"
        )
    weeks = pick(read_csv(weeks_path), ["date", "days_from_christmas", "christmas"], weeks_path)
    names = {name: name for name in ("days_from_christmas", "christmas")}
    weeks = validate(weeks.assign(sku="calendar", sales="0"), str(weeks_path), names)
    if sales.ndim != 3 or sales.dtype.kind not in "fiu" or sales.shape[2] != len(weeks):
        raise UserError(
            f"{path}: 'weekly_sales' is {sales.dtype} {list(sales.shape)}; numbers [items, stores, "
            f"{len(weeks)} weeks] were expected"
        )
    if not (np.abs(sales) <= LARGEST).all():
        item, store, week = np.argwhere(~(np.abs(sales) <= LARGEST))[0]
        raise UserError(
            f"{path}: 'weekly_sales' is not a number below {LARGEST:g} at item {item},"
            f" store {store}, week {week}; fetch it again"
        )
    items, stores, _ = sales.shape
    item, store = np.divmod(np.arange(items * stores), stores)
    series = pd.DataFrame(
        {"sku": [f"item_{i:03d}" for i in item], "location": [f"store_{s:02d}" for s in store]}
    )
    sales = np.maximum(sales.reshape(items * stores, -1), 0)
    covariates = {name: np.broadcast_to(weeks[name], sales.shape) for name in names}
    return long_table(series, weeks["date"].to_numpy(), sales, **covariates)
