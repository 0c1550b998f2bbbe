"""Which column of a file is which of the sales schema: by its name, by what the user says, by words
where that is allowed.
"""

import difflib
import re
import shlex
from collections.abc import Iterable

import pandas as pd

from jaxinv.data.problems import Problems, as_text, listed
from jaxinv.data.words import WEAK, certain, nearest, snake_case

REQUIRED = ("date", "sku", "sales")
OPTIONAL = ("location", "stock", "price", "promotion", "lead_time", "category")

_MANY = 4  # columns besides which each may be a product
_NO_NAME = r"column \d+|Unnamed: \d+"  # what takes the place of an empty cell of the header


def find_columns(
    frame: pd.DataFrame, columns: dict[str, str], problems: Problems, by_words: bool = False
) -> dict[str, str]:
    """Schema or covariate name -> column of the frame, the schema's columns first.

    Args:
      columns: what the user gave.
      by_words: whether a column whose whole name is a known word for a schema name stands for it,
        with a note; else the word is only a hint in the error.
    """
    present = [str(column) for column in frame.columns]
    found = {name: column for name, column in columns.items() if column in set(present)}
    for name in columns.keys() - found.keys():
        near = difflib.get_close_matches(columns[name], present, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the columns are {listed(present)}"
        problems.add(f"column {columns[name]!r}, given for {name!r}, is missing; {hint}")
    for column in present:
        if column in columns.values():
            continue
        if re.fullmatch(_NO_NAME, column):
            if (as_text(frame[column]) != "").any():
                problems.unnamed.append(column)
        elif column in columns:
            problems.add(
                f"column {column!r} is there besides {columns[column]!r}, which was given for it;"
                " rename or delete it, or give its right name too, such as"
                f" columns.other={shlex.quote(column)}"
            )
        else:
            found[column] = column
    if by_words:
        _by_words(found, columns, problems)

    products = False
    for name in REQUIRED + OPTIONAL:
        if name in found or name in columns:
            continue
        free = {
            column: other for other, column in found.items() if other not in REQUIRED + OPTIONAL
        }
        near = nearest(name, free)
        rename = f"rename it to {name!r}, or give {column_override(name, near)}"
        if name in REQUIRED:
            hint = (
                f"{near!r} looks like it: {rename}"
                if near
                else (
                    f"the columns are {listed(present)}; add or rename one, or give"
                    f" columns.{name}=NAME"
                )
            )
            if (
                name == "sku"
                and not near
                and "date" in found
                and len(found) > _MANY
                and "sales" not in found
            ):
                hint += "; if each of these columns is a product, give columns.sku=header"
                products = True
            elif name == "sales" and products:
                continue  # a column for each product holds them
            problems.add(f"column {name!r} is missing; {hint}")
        elif near and (
            name == "location"
            or difflib.SequenceMatcher(None, snake_case(near), name).ratio() > 0.85
            and not _numbered(near, free)
        ):
            # `Stock` taken for a covariate, or stores for one series, is a guess that nobody would
            # notice.
            problems.add(
                f"column {near!r} looks like {name!r}: {rename}; if it is something else, give it"
                " another name"
            )
        else:
            continue
        if near:
            # The error stands; the cells are checked for what they look like, to tell everything at
            # once.
            del found[free[near]]
            found[name] = near
    order = [name for name in REQUIRED + OPTIONAL if name in found]
    return {name: found[name] for name in order + [name for name in found if name not in order]}


def _numbered(column: str, columns: Iterable[str]) -> bool:
    """Whether the column is one of several that differ by a number, as `price1` to `price11`: then
    it is none of them alone.
    """
    stem = re.sub(r"\d+$", "", snake_case(column))
    return sum(re.sub(r"\d+$", "", snake_case(other)) == stem for other in columns) > 1


def column_override(name: str, column: str | None) -> str:
    """What a user types to say that a column is `name`."""
    return shlex.quote(f"columns.{name}={column}")


def _by_words(found: dict[str, str], columns: dict[str, str], problems: Problems) -> None:
    """Columns named by words of other software or languages, where one word fits; several are
    refused.
    """
    read = []
    for name in REQUIRED + OPTIONAL:
        if name in found or name in columns:
            continue
        free = [column for other, column in found.items() if other not in REQUIRED + OPTIONAL]
        fits = [column for column in certain(name, free) if snake_case(column) not in WEAK]
        if len(fits) > 1:
            problems.add(
                f"columns {' and '.join(map(repr, fits))} may both be {name!r}; give"
                f" {' or '.join(column_override(name, c) for c in fits)}"
            )
        if fits:
            del found[fits[0]]
            found[name] = fits[0]
            if len(fits) == 1 and snake_case(fits[0]) != name:
                read.append((name, fits[0]))
    if read:
        problems.notes.append(
            "columns are read by what they are called:"
            f" {', '.join(f'{name} = {column!r}' for name, column in read)}; if one is something"
            f" else, give its right column, as in {column_override(read[0][0], read[0][1])}"
        )
