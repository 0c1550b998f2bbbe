"""Dates as people and shops write them: one form for all cells of a file, found from all of them or
given.

`03/04/2024` is the third of April or the fourth of March: only days above 12 elsewhere in the file
tell. A file in which none does, or in which some speak for each, is left to the caller to refuse.
"""

import re
import unicodedata
from dataclasses import dataclass

import numpy as np
import pandas as pd

FORMS = {"ymd": "YYYY-MM-DD", "dmy": "dd/mm/yyyy", "mdy": "mm/dd/yyyy"}
"""What can be typed as `dates=`, and what it means."""

_WITH_TIME = re.compile(r"(.*?)(?:[T ,]+(\d{1,2}:.*))?", re.ASCII)
_TIME = re.compile(
    r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?(?: ?[AaPp]\.?[Mm]\.?)?(?:"
    r" ?(Z|[A-Z]{3,4}|[+-]\d{2}:?\d{2}))?",
    re.ASCII,
)
_KINDS = {
    "ymd": r"(?P<y>\d{4})(?P<mark>[-/.])(?P<m>\d{1,2})(?P=mark)(?P<d>\d{1,2})",
    "compact": r"(?P<y>(?:19|20)\d{2})(?P<m>\d{2})(?P<d>\d{2})",
    "numbers": r"(?P<a>\d{1,2})(?P<mark>[./-])(?P<b>\d{1,2})(?P=mark)(?P<y>\d{4}|\d{2})",
    "day name": r"(?P<d>\d{1,2})[. -]{1,2}(?P<name>[^\W\d_]{3,})[. ,-]{1,2}(?P<y>\d{4})",
    "name day": r"(?P<name>[^\W\d_]{3,})\.? (?P<d>\d{1,2}),? (?P<y>\d{4})",
    "month": r"(?P<y>\d{4})[-/](?P<m>\d{2})",
    "week": r"(?P<y>\d{4})-?W(?P<w>\d{1,2})",
}
_READ = {
    kind: re.compile(pattern, re.ASCII if "name" not in kind else 0)
    for kind, pattern in _KINDS.items()
}
# The first letters of months in English, German, French, Spanish and Italian, without accents.
_MONTHS = (
    ("jan", "ene", "gen"),
    ("feb", "fev"),
    ("mar", "maer", "mrz"),
    ("apr", "avr", "abr"),
    ("may", "mai", "mag"),
    ("jun", "juin", "giu"),
    ("jul", "juil", "lug"),
    ("aug", "aou", "ago"),
    ("sep", "set"),
    ("oct", "okt", "ott"),
    ("nov",),
    ("dec", "dez", "dic"),
)


@dataclass(frozen=True, eq=False)
class Dates:
    """Dates of distinct texts.

    Attributes:
      days: datetime64[s] `[n]`, NaT where the text is none of the file's form.
      timed: which carry a time of day other than midnight, or a time zone.
      stamped: which carry a time of day at all.
      form: "ymd", "dmy" or "mdy".
      shown: the form in words, such as "dd.mm.yyyy".
      told: whether a cell, the form itself or the user tells which number is the day.
      days_first, months_first: texts that only make sense that way.
      either: texts that make sense both ways.
    """

    days: np.ndarray
    timed: np.ndarray
    stamped: np.ndarray
    form: str
    shown: str
    told: bool
    days_first: tuple[str, ...]
    months_first: tuple[str, ...]
    either: tuple[str, ...]

    @property
    def fits_both(self) -> bool:
        return not self.told or bool(self.days_first and self.months_first)


def read_dates(texts: list[str], counts: np.ndarray | None = None, given: str = "") -> Dates:
    """Reads distinct texts as dates of one form: the one that most cells have.

    Args:
      counts: how many cells have each text; one each by default.
      given: "ymd", "dmy" or "mdy" where the user says.
    """
    counts = np.ones(len(texts), int) if counts is None else counts
    parts = [_WITH_TIME.fullmatch(text) for text in texts]
    parts = [
        (found[1], found[2]) if found else ("", None) for found in parts
    ]  # a text of several lines is not a date
    known = {day: _match(day) for day in {day for day, _ in parts}}
    times = {time: _TIME.fullmatch(time) for time in {time for _, time in parts if time}}
    found = [known[day] if time is None or times[time] else None for day, time in parts]
    weight: dict[str, int] = {}
    for match, count in zip(found, counts):
        if match:
            weight[_family(match[0])] = weight.get(_family(match[0]), 0) + int(count)
    order = ["ymd", *(kind for kind in _KINDS if kind not in ("ymd", "name day"))]
    family = max(order, key=lambda kind: (weight.get(kind, 0), -order.index(kind)))
    if given == "ymd" and family == "numbers":
        family = "ymd"
    elif given in ("dmy", "mdy") and weight.get("numbers"):
        family = "numbers"
    numeric = (
        [(t, m[1]) for t, m in zip(texts, found) if m and m[0] == "numbers"]
        if family == "numbers"
        else []
    )
    days_first = tuple(t for t, m in numeric if int(m["a"]) > 12 >= int(m["b"]))
    months_first = tuple(t for t, m in numeric if int(m["b"]) > 12 >= int(m["a"]))
    either = tuple(t for t, m in numeric if int(m["a"]) <= 12 and int(m["b"]) <= 12)
    dotted = bool(numeric) and all(m["mark"] == "." for _, m in numeric)
    form = "ymd"
    if family == "numbers":
        form = given or ("mdy" if months_first and not days_first else "dmy")
        if given:
            days_first = months_first = ()
    told = family != "numbers" or bool(given or days_first or months_first or dotted)
    days = np.full(len(texts), np.datetime64("NaT", "s"))
    read = {
        day: _day(*match, form)
        for day, match in known.items()
        if match and _family(match[0]) == family
    }
    for k, (day, _) in enumerate(parts):
        if found[k] is not None and day in read:
            days[k] = read[day]
    stamped = np.array([time is not None and times[time] is not None for _, time in parts], bool)
    timed = np.array(
        [
            bool(s and (times[t][4] or any(int(n or 0) for n in times[t].groups()[:3])))
            for s, (_, t) in zip(stamped, parts)
        ],
        bool,
    )
    mark = numeric[0][1]["mark"] if numeric else "-"
    shown = {
        "compact": "YYYYMMDD",
        "month": "YYYY-MM",
        "week": "YYYY-Www",
        "day name": "day, month in letters, year",
    }.get(family, FORMS[form].replace("/", mark) if form != "ymd" else FORMS[form])
    return Dates(days, timed, stamped, form, shown, told, days_first, months_first, either)


def is_date(text: str) -> bool:
    """Whether a text has the form of a date."""
    return _match(text.strip()) is not None


def _family(kind: str) -> str:
    return "day name" if "name" in kind else kind


def _match(text: str) -> tuple[str, re.Match] | None:
    for kind, pattern in _READ.items():
        match = pattern.fullmatch(text)
        if match and (kind not in ("day name", "name day") or _month(match["name"])):
            return kind, match
    return None


def _month(name: str) -> int:
    """1 to 12 for a month's name, 0 for another word."""
    letters = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    begins = [
        (len(start), number)
        for number, starts in enumerate(_MONTHS, 1)
        for start in starts
        if letters.startswith(start)
    ]
    return max(begins)[1] if begins else 0


def _day(kind: str, m: re.Match, form: str) -> np.datetime64:
    """The day, or NaT where the calendar has none such or it is not between 1900 and 2199."""
    year = int(m["y"]) + (2000 if len(m["y"]) == 2 else 0)
    try:
        if kind == "week":
            day = pd.Timestamp.fromisocalendar(year, int(m["w"]), 1)
        else:
            groups = m.groupdict()
            first, second = ("a", "b") if form == "dmy" else ("b", "a")
            of_month = (
                1 if kind == "month" else int(groups[first] if kind == "numbers" else groups["d"])
            )
            month = int(
                groups[second] if kind == "numbers" else groups.get("m") or _month(groups["name"])
            )
            day = pd.Timestamp(year, month, of_month)
    except ValueError:
        return np.datetime64("NaT", "s")
    return np.datetime64(day, "s") if 1900 <= day.year < 2200 else np.datetime64("NaT", "s")
