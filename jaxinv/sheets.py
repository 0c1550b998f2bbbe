"""Tables as CSV that a spreadsheet can open: whole or not at all, and text stays text.

A spreadsheet takes a cell that begins with =, +, - or @ for a formula, and runs it. Cells of text
that begin so are written with an apostrophe before them, which a spreadsheet does not show;
`read_table` takes it away again.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from jaxinv.whole import write_text

if TYPE_CHECKING:  # pandas takes a second to import
    import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")


def guarded(text: str) -> str:
    """A cell of text that no spreadsheet takes for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """The text that `guarded` wrote."""
    return text[1:] if _GUARDED.match(text) else text


def write_table(path: Path, frame: "pd.DataFrame") -> None:
    """Writes the columns of a table, numbers to six digits. The same table gives the same bytes.

    Raises:
      OSError: it cannot be written; what was there stays.
    """
    write_text(
        path,
        frame.apply(_each, of=guarded).to_csv(
            index=False, lineterminator="\n", float_format="%.6g"
        ),
    )


def read_table(path: Path, text: tuple[str, ...] = ()) -> "pd.DataFrame":
    """A table of `write_table`; `text` are columns that are text whatever they look like, such as
    an SKU 007.
    """
    import pandas as pd

    columns = pd.read_csv(path, nrows=0).columns
    absent = {name: [""] for name in columns if name not in text}
    frame = pd.read_csv(
        path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=absent
    )
    return frame.apply(_each, of=unguarded)


def _each(column: "pd.Series", of) -> "pd.Series":
    """A column with a function applied to its texts, once to each that differs."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return column
    texts = {value: of(value) for value in column.unique() if isinstance(value, str)}
    return (
        column.map(lambda value: texts.get(value, value))
        if any(key != value for key, value in texts.items())
        else column
    )
