"""Numbers as people and shops write them: the decimal mark of a file, and the values of its cells.

A file has one decimal mark. It is given, or found from the cells that can be read in one way only
(`3,5`, `1.234,50`, `1,234,567`). Cells that stay ambiguous (`1,000`) are left to the caller to
refuse.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from jaxinv.data.problems import is_empty

_SIGNS = str.maketrans({"−": "-", "–": "-"})
_SPACED = re.compile(r"\d{1,3}(?:[ '’\u00a0\u202f]\d{3})+(?=$|[.,]\d+$)", re.ASCII)
_DOT_THOUSANDS = re.compile(r"\d{1,3}(?:\.\d{3})+(?:,\d*)?", re.ASCII)
_COMMA_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d*)?", re.ASCII)
_MONEY = r"^(?:([$€£¥]|[A-Z]{3}) ?)?([-+]?[\d.,'’ \u00a0\u202f]+?)(?: ?([$€£¥]|[A-Z]{3}))?$"
_EITHER = re.compile(r"[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
_ONE_MARK = re.compile(r"\d*[.,]\d*", re.ASCII)


@dataclass(frozen=True)
class Decimals:
    """How the numbers of a file are written.

    Attributes:
      mark: "." or ",".
      certain: whether a cell, or the user, tells.
      example: the cell that tells; empty where none does.
    """

    mark: str = "."
    certain: bool = False
    example: str = ""


def find_decimals(cells: Iterable[str], given: str = "") -> Decimals:
    """The decimal mark of a file, from the distinct texts of its columns of numbers.

    Args:
      given: "." or "," where the user says; else what more cells tell.
    """
    if given:
        return Decimals(given, True)
    tell: dict[str, list[str]] = {".": [], ",": []}
    for text in cells:
        if text.isdigit():
            continue
        mark = _told_by(_core(text))
        if mark:
            tell[mark].append(text)
    if not tell["."] and not tell[","]:
        return Decimals()
    mark = "," if len(tell[","]) > len(tell["."]) else "."
    return Decimals(mark, True, tell[mark][0])


def read_numbers(text: pd.Series, decimals: Decimals) -> tuple[pd.Series, pd.Series]:
    """Texts as float64, NaN where there is none that can be read, and which of them can be read in
    two ways, bool.

    Texts that can be read in two ways are those like `1,000` in a file that tells no decimal mark;
    `1.000` is then a plain 1.
    """
    codes, distinct = pd.factorize(text)
    plain = [_plain(str(value), decimals) for value in distinct]
    numbers = (
        pd.to_numeric(pd.Series(plain, dtype=object), errors="coerce").astype(float).to_numpy()
    )
    unsure = np.array(
        [
            not decimals.certain and "," in str(v) and bool(_EITHER.fullmatch(_core(str(v))))
            for v in distinct
        ],
        bool,
    )
    numbers = np.where(unsure, np.nan, numbers) if len(numbers) else numbers
    return pd.Series(numbers[codes] if len(numbers) else np.nan, text.index, float), pd.Series(
        unsure[codes] if len(unsure) else False, text.index, bool
    )


def without_currency(text: pd.Series) -> tuple[pd.Series, dict[str, pd.Series]]:
    """Texts without a sign or code of a currency before or after them, and which have which, by
    sign.
    """
    parts = text.str.extract(_MONEY)
    signs = parts[0].fillna(parts[2]).fillna("").str.upper().replace({"€": "EUR", "£": "GBP"})
    return parts[1].str.strip().where(signs != "", text), {
        sign: signs == sign for sign in signs.unique() if sign
    }


def looks_numeric(text: pd.Series) -> bool:
    """Whether most texts that are not empty begin as numbers do and hold no letters."""
    filled = pd.Series(text[~is_empty(text)].unique())
    return (
        bool(len(filled))
        and filled.str.fullmatch(r"[-+−]?[\d.,'’ \u00a0\u202f]*\d[\d.,]*%?-?").mean() > 0.5
    )


def _core(text: str) -> str:
    """The text without sign, and without what parts thousands where it is no mark of decimals."""
    text = re.sub(r"^[+-](?!-)|(?<=\d)-$", "", text.translate(_SIGNS), count=1)
    found = _SPACED.match(text)
    return re.sub(r"[ '’\u00a0\u202f]", "", found.group()) + text[found.end() :] if found else text


def _told_by(core: str) -> str:
    """The decimal mark that a text has under no other reading; empty where it does not tell."""
    commas, dots = core.count(","), core.count(".")
    if commas and dots:
        if _DOT_THOUSANDS.fullmatch(core):
            return ","
        return "." if _COMMA_THOUSANDS.fullmatch(core) else ""
    if commas > 1:
        return "." if _COMMA_THOUSANDS.fullmatch(core) else ""
    if dots > 1:
        return "," if _DOT_THOUSANDS.fullmatch(core) else ""
    if _ONE_MARK.fullmatch(core) and not _EITHER.fullmatch(core) and len(core) > 1:
        return "," if commas else "." if dots else ""
    return ""


def _plain(text: str, decimals: Decimals) -> str:
    """A text as Python writes a number, as far as it is one."""
    if text.isascii() and (
        text.isdigit() or (decimals.mark == "." and text.replace(".", "", 1).isdigit())
    ):
        return text
    core = _core(text)
    signed = text.translate(_SIGNS)
    minus = "-" if signed[:1] == "-" or (signed[-1:] == "-" and signed[:1] not in "+-") else ""
    if decimals.mark == ",":
        if _DOT_THOUSANDS.fullmatch(core):
            return minus + core.replace(".", "").replace(",", ".")
        if re.fullmatch(r"\d*,?\d*", core, re.ASCII) and re.search(r"\d", core):
            return minus + core.replace(",", ".")
        return "x" if "." in core else text  # a dot here is no decimal mark
    if _COMMA_THOUSANDS.fullmatch(core) and decimals.certain:
        return minus + core.replace(",", "")
    if core != text and re.fullmatch(r"\d+(\.\d*)?", core, re.ASCII):
        return minus + core
    return (
        text
        if re.fullmatch(
            r"[-+]?(?:[\d.]+(?:e[-+]?\d+)?|inf|infinity)", text, re.ASCII | re.IGNORECASE
        )
        else "x"
    )
