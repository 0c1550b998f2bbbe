"""What an evaluation found, in words and tables for a manager."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jaxinv.policies.theirs import MIN_MAX, OWN_ORDERS
from jaxinv.report.findings import Findings
from jaxinv.report.numbers import (
    absent,
    between,
    counted,
    less_or_more,
    number,
    percent,
    rough,
    signed,
    signed_percent,
    written_day,
)
from jaxinv.report.tables import Cell, Column, Table
from jaxinv.report.words import cost_part, explained, full_name

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """An evaluation as a page tells it.

    A cost is told in money over all periods and series, or where costs are no money as an index:
    the best rule costs 100.
    """

    document: Mapping[str, Any]

    @classmethod
    def of(cls, findings: Findings) -> "Evidence | None":
        return cls(findings.document) if findings.document else None

    @property
    def about(self) -> Mapping[str, Any]:
        return self.document["held_out"]

    @cached_property
    def rows(self) -> Sequence[Row]:
        """Those of the problem that the page is about, of several that were judged."""
        rows = self.document["evaluation"]
        acts = next((row for row in rows if row["policy"] == self.about["acts"]), rows[0])
        return [row for row in rows if row.get("instance", "") == acts.get("instance", "")]

    @property
    def acts(self) -> Row:
        return next((row for row in self.rows if row["policy"] == self.about["acts"]), self.rows[0])

    @property
    def best(self) -> Row | None:
        """The row of the best tuned rule; None where there is none."""
        return next((row for row in self.rows if row["policy"] == self.acts["best_rule"]), None)

    @property
    def theirs(self) -> list[Row]:
        """What the shop did itself, as far as it is known."""
        return [row for name in (OWN_ORDERS, MIN_MAX) for row in self.rows if row["policy"] == name]

    @property
    def compared(self) -> list[Row]:
        """What the first page sets side by side, what acts first."""
        rule = [] if self.best is None or self.best is self.acts else [self.best]
        learned = [row for row in self.rows if row["kind"] == "policy" and row is not self.acts][
            : 0 if rule else 1
        ]
        return [self.acts, *rule, *learned, *self.theirs]

    def name(self, row: Row) -> str:
        label = row.get("instance", "")
        policy = (
            row["policy"].removesuffix(f" {label}")
            if label and row["kind"] != "policy"
            else row["policy"]
        )
        return full_name(policy, row["kind"], self.document.get("agent", ""))

    def explained(self, row: Row) -> str:
        return explained(row["policy"], row["kind"], self.document.get("agent", ""))

    # --- amounts

    @property
    def earns(self) -> bool:
        """Whether what acts earns more than it costs, so that profits are told."""
        return self.acts["cost"] < 0

    @property
    def in_money(self) -> bool:
        """Whether costs are told in money, and not as an index."""
        return bool(self.about.get("money")) or self.best is None or self.best["cost"] <= 0

    @property
    def currency(self) -> str:
        return self.about.get("currency") or ""

    @property
    def factor(self) -> float:
        """What a mean cost a period and series is multiplied by to be told."""
        if self.in_money:
            return (self.about.get("periods") or 1) * max(self.about.get("series") or 1, 1)
        return 100 / self.best["cost"]

    @property
    def unit(self) -> str:
        return self.currency if self.in_money else ""

    @property
    def cost_title(self) -> str:
        """What costs are, for a heading."""
        if not self.in_money:
            return "Cost (best rule = 100)"
        what = "Profit" if self.earns else "Cost"
        return f"{what}, {self.currency}" if self.currency else what

    def cost(self, row: Row) -> float:
        return row["cost"] * self.factor * (-1 if self.earns else 1)

    def cost_interval(self, row: Row) -> list[float] | None:
        interval = row.get("cost_interval")
        return (
            None
            if not interval
            else sorted(end * self.factor * (-1 if self.earns else 1) for end in interval)
        )

    def stock(self, row: Row) -> tuple[float | None, list[float] | None, str]:
        """Stock at the end of a period, all series together: value or units, interval, and unit."""
        name, unit = (
            ("stock_value", self.currency or "in money")
            if not absent(row.get("stock_value"))
            else ("stock", "units")
        )
        if absent(row.get(name)):
            return None, None, unit
        times = max(self.about.get("series") or 1, 1)
        interval = row.get(f"{name}_interval")
        return row[name] * times, [end * times for end in interval] if interval else None, unit

    @property
    def stock_unit(self) -> str:
        unit = self.stock(self.acts)[2]
        return unit if unit == "units" else f"at {self.about.get('valued_at') or 'cost'}"

    # --- words

    @property
    def span(self) -> str:
        """The periods that were judged on, such as "36 weeks"."""
        period = self.about.get("period") or "period"
        return (
            counted(self.about["periods"], period)
            if self.about.get("periods")
            else f"the held-out {period}s"
        )

    @property
    def question(self) -> str:
        """What the first page answers: of weeks that have been, or of a world that is made."""
        return f"What if you had followed this for {'the last ' if self.dates else ''}{self.span}?"

    @property
    def dates(self) -> str:
        first, last = self.about.get("first"), self.about.get("last")
        return f"{written_day(first)} to {written_day(last)}" if first and last else ""

    @property
    def what(self) -> str:
        """What was judged on, such as "30 SKUs in 2 locations"."""
        skus, places, series = (self.about.get(name) for name in ("skus", "places", "series"))
        if skus:
            return counted(skus, "SKU") + (f" in {counted(places, 'location')}" if places else "")
        return counted(series, "series", "series") if series else "one stock point"

    @property
    def tone(self) -> str:
        """Whether what acts is proven cheaper than the best rule ("good"), dearer ("bad"), or
        neither ("even").
        """
        compared = self.best is not None and self.best is not self.acts
        return tone(_interval(self.acts)) or "even" if compared else "even"

    @property
    def badge(self) -> str:
        if self.best is None:
            return "nothing to compare with"
        if self.best is self.acts:
            return "a rule is followed"
        return {"good": "proven cheaper", "bad": "proven dearer", "even": "no difference proven"}[
            self.tone
        ]

    @property
    def verdict(self) -> list[tuple[str, str]]:
        """What a manager is told first: sentences, each with a smaller one. What the shop did
        itself comes before the best rule.
        """
        name = self.name(self.acts)
        versus = self.acts.get("versus", {})
        said = [
            self._against(name, self.name(row), versus[row["policy"]])
            for row in self.theirs
            if row["policy"] in versus
        ]
        if self.best is None:
            return [*said, ("It was compared with no rule.", "")] if not said else said
        if self.best is not self.acts:
            sentence, more = self._against(name, "the best rule", self.acts)
            return [*said, (sentence, f"{more} The best rule: {self.name(self.best)}.".strip())]
        said.append((f"What is followed is the best rule: {name}.", self.explained(self.acts)))
        least = min(
            (row for row in self.rows if row["kind"] == "policy"),
            key=lambda row: row["cost"],
            default=None,
        )
        return (
            said if least is None else [*said, self._against(self.name(least), "that rule", least)]
        )

    def _against(self, name: str, other: str, differences: Row) -> tuple[str, str]:
        """What a policy would have cost against another, and how sure that is."""
        gain, share = (
            -differences["difference"] * self.factor,
            differences.get("relative_difference"),
        )
        if share is None:  # of a profit
            amount, verb = (
                number(abs(gain), self.unit),
                f"earned {{}} {'more' if gain > 0 else 'less'}",
            )
        else:
            amount, verb = percent(abs(share)), f"cost {{}} {'less' if share < 0 else 'more'}"
        money = (
            f": {number(abs(gain), self.unit)} over {self.span}"
            if self.in_money and share is not None
            else ""
        )
        sentence = (
            f"{name[:1].upper()}{name[1:]} would have {verb.format(amount)} than {other}{money}."
        )
        interval = _interval(differences)
        if interval is None:
            return sentence, "There are too few numbers for an interval: this may be chance."
        if share is None:
            low, high = sorted(-end * self.factor for end in interval)
            ends = f"{signed(low)} to {signed(high)}"
        else:
            low, high = interval
            ends = f"{less_or_more(low)} to {less_or_more(high)}"
        return sentence, f"95% interval: {ends}. " + (
            "That is more than chance." if tone(interval) else "So no difference is proven."
        )

    # --- tables and cards

    @property
    def cards(self) -> list[dict[str, Any]]:
        """Cost, service and stock of what acts and of what it is compared with."""
        rows = self.compared
        costs = [(self.cost(row), self.cost_interval(row)) for row in rows]
        whole = f"over {self.span}" if self.in_money else "the best rule is 100"
        cards = [
            self._card(
                "Profit" if self.earns else "Cost",
                whole,
                costs,
                lambda value: number(value, self.unit),
            )
        ]
        if any(not absent(row.get("fill_rate")) for row in rows):
            rates = [(row.get("fill_rate"), row.get("fill_rate_interval")) for row in rows]
            cards.append(
                self._card("Fill rate", "demand served at once", rates, percent, (0.0, 1.0))
            )
        stocks = [self.stock(row) for row in rows]
        if any(value is not None for value, _, _ in stocks):
            written = "units" if stocks[0][2] == "units" else self.currency
            found = [(value, interval) for value, interval, _ in stocks]
            says = f"mean, {self.stock_unit}"
            cards.append(
                self._card(
                    "Stock", says, found, lambda value: number(value, written), (0.0, math.inf)
                )
            )
        return cards

    def _card(
        self, title: str, says: str, values, write, within=(-math.inf, math.inf)
    ) -> dict[str, Any]:
        """Figures of a kind; the ends of intervals, which samples of weeks may carry past what
        there can be, within it.
        """
        low, high = within
        most = max((abs(value) for value, _ in values if not absent(value)), default=0) or 1
        lines = []
        for row, (value, interval) in zip(self.compared, values):
            interval = interval and [
                end if absent(end) else min(max(end, low), high) for end in interval
            ]
            lines.append(
                {
                    "name": self.name(row),
                    "kind": "acts" if row is self.acts else row["kind"],
                    "value": write(value),
                    "interval": between(interval, percent if write is percent else rough)
                    if interval
                    else "",
                    "width": 0 if absent(value) else 100 * max(value, 0) / most,
                }
            )
        return {"title": title, "says": says, "lines": lines}

    def policies(self) -> Table:
        """A row a policy and rule, the cheapest first, numbered as in the picture."""
        columns = [
            Column("No."),
            Column("Policy or rule", False),
            Column(self.cost_title, says=f"over {self.span}, all together"),
            Column("95% interval", says="of the cost by itself"),
            Column("Against the best rule", says="difference on the same demand"),
            Column("Fill rate", says="share of demand served at once"),
            Column("Stock", says=f"mean, {self.stock_unit}"),
            Column("Turns a year", says="units sold a year over units in stock"),
        ]
        rows = []
        for place, row in enumerate(self.ranked, 1):
            share, interval = (
                row.get("relative_difference"),
                row.get("relative_difference_interval"),
            )
            against, ends = (
                signed_percent(share),
                (between(interval, signed_percent) if interval else ""),
            )
            if share is None and row.get("difference") is not None:
                times = -self.factor if self.earns else self.factor
                against = signed(row["difference"] * times, self.unit)
                interval = row.get("difference_interval")
                ends = between(sorted(end * times for end in interval), signed) if interval else ""
            if row is self.best:
                against, ends = "best rule", ""
            stock, _, unit = self.stock(row)
            rows.append([
                Cell(str(place), key=place),
                Cell(self.name(row), self.explained(row), tone="acts" if row is self.acts else ""),
                Cell(number(self.cost(row)), key=self.cost(row)),
                Cell(between(self.cost_interval(row)), key=self.cost(row)),
                Cell(against, ends, key=row.get("difference"), tone=tone(_interval(row))),
                Cell(percent(row.get("fill_rate")), key=row.get("fill_rate") or 0.0),
                Cell(number(stock), key=stock),
                Cell(number(row.get("turnover")), key=row.get("turnover")),
            ])  # fmt: skip
        return Table("policies", "All policies and rules, on the same demand", columns, rows)

    @property
    def ranked(self) -> list[Row]:
        return sorted(self.rows, key=lambda row: row["cost"])

    def parts(self) -> Table:
        """What costs are made of, of what acts and what it is compared with."""
        names = list(dict.fromkeys(name for row in self.compared for name in row["parts"]))
        columns = [
            Column("Part of the cost", False),
            *(Column(self.name(row)[:1].upper() + self.name(row)[1:]) for row in self.compared),
        ]
        rows = []
        for part in names:
            amounts = [row["parts"].get(part, 0.0) * self.factor for row in self.compared]
            rows.append(
                [
                    Cell(cost_part(part)),
                    *(Cell(number(amount, self.unit), key=amount) for amount in amounts),
                ]
            )
        total = [row["cost"] * self.factor for row in self.compared]
        rows.append(
            [
                Cell("all together"),
                *(Cell(number(amount, self.unit), key=amount) for amount in total),
            ]
        )
        return Table(
            "parts", f"What the cost of {self.span} is made of", columns, rows, sortable=False
        )


def tone(interval: Sequence[float] | None) -> str:
    """Whether a difference in cost is below zero beyond chance ("good"), above it ("bad"), or
    neither.
    """
    if not interval or any(absent(end) for end in interval) or interval[0] == interval[1] == 0:
        return ""
    return "good" if interval[1] < 0 else "bad" if interval[0] > 0 else ""


def _interval(differences: Row) -> Sequence[float] | None:
    """The interval that a difference is told with: of the share, or where that means nothing, of
    the amount.
    """
    name = "difference" if differences.get("relative_difference") is None else "relative_difference"
    return differences.get(f"{name}_interval")
