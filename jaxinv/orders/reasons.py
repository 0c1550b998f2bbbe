"""Why an order is what it is: terms that add up to it, a sentence, and what the policy says when it
is asked otherwise."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from jaxinv.orders.lines import Acting, Lines, ask
from jaxinv.orders.risk import LineRisks
from jaxinv.orders.today import Today
from jaxinv.policies.rule import Rule

TERMS = ("base", "calendar", "safety", "position", "rounding")

LONGER_DAYS = 2.0
"""By which a lead time is longer in the question that is asked."""

MORE_SERVICE = 0.02
"""By which the service level is higher."""


@dataclass(frozen=True, eq=False)
class Terms:
    """What an order is made of, `[S, E, K]` each; they add up to the quantity.

    Attributes:
      base: demand over the cover if it was a stretch like all others.
      calendar: what season, trend and promotions add to it.
      safety: what the target has on top of expected demand; below zero where it runs a shortage on
        purpose.
      position: less what is there and on the way.
      rounding: what packs, minimum orders, limits, stock of the source and the other lines of the
        order change.
    """

    base: np.ndarray
    calendar: np.ndarray
    safety: np.ndarray
    position: np.ndarray
    rounding: np.ndarray

    @classmethod
    def of(cls, lines: Lines, judged: LineRisks) -> "Terms":
        base, mean, target = (
            np.round(np.asarray(one, float), 2) for one in (judged.base, judged.mean, lines.target)
        )
        position, quantity = np.round(lines.position.astype(float), 2), lines.quantity.astype(float)
        return cls(base, mean - base, target - mean, -position, quantity - (target - position))

    @property
    def table(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in TERMS}


def sentence(
    position: float,
    target: float,
    mean: float,
    until: np.datetime64,
    asked: float,
    pack: float,
    quantity: float,
    why: str = "",
) -> str:
    """The reason of a line in words and numbers.

    Args:
      position: on hand and on order; target: what it has to be; mean: expected demand until a day;
        asked: what the policy asks for.
      why: what else changed the quantity, such as the minimum of a supplier.
    """
    day = pd.Timestamp(until)
    safety = target - mean
    kept = (
        f"{_units(mean)} expected, {_units(safety)} safety"
        if safety >= 0.05
        else f"{_units(mean)} expected"
    )
    said = (
        f"net {_units(position)}, needs {_units(target)} until {day.day} {day.month_name()}"
        f" ({kept})"
    )
    if why:
        said += f", {why}"
    elif quantity > 0 and pack > 1:
        said += f", pack {_units(pack)}"
    elif quantity <= 0 and asked > 0:
        said += (
            f", {_units(asked)} is less than half a pack of {_units(pack)}"
            if pack > 1
            else ", too little for an order"
        )
    if quantity > 0 and not why and abs(quantity - asked) >= max(pack, 1.0):
        said += (
            ", all that limits and the stock of the source allow"
            if quantity < asked
            else ", the least that can be ordered"
        )
    return f"{said}: order {_units(quantity)}" if quantity > 0 else f"{said}: order nothing"


def _units(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0") if abs(number) < 100 else f"{number:.0f}"


def counterfactuals(
    today: Today, acting: Acting, lines: Lines, judged: LineRisks
) -> dict[str, np.ndarray]:
    """What the policy would order in other situations `[S, E, K]`.

    - without_promotion: no promotion is announced for the coming period; left out where there never
      is one.
    - longer_lead_time: lead times are `LONGER_DAYS` longer on every edge; a rule whose forecast
      does not reach so far takes the forecast of this module.
    - average_last_week: demand of the last week equals the mean of the window that the policy
      reads.
    - more_service: shortage costs ask for a service level `MORE_SERVICE` higher. The target of a
      rule that reads no costs is raised by the forecast: as that quantile of demand over the
      coverage rises.
    """
    found = {}
    columns = _promotions(today)
    if columns:
        least = np.asarray(today.known)[..., columns].min(1)
        signals = np.array(today.signals)
        signals[:, -1, _demand_columns(today) + np.asarray(columns)] = least
        found["without_promotion"] = _asked(today, acting, lines, signals=signals)
    longer = today.params.replace(
        lead_time=np.asarray(today.params.lead_time) + LONGER_DAYS / today.period_days
    )
    more = judged.mean / np.maximum(lines.cover[..., None], 1) * (LONGER_DAYS / today.period_days)
    found["longer_lead_time"] = _or_by_forecast(
        acting, lines, _asked(today, acting, lines, params=longer), more
    )
    rows = max(1, round(7 / today.period_days))
    signals, count = np.array(today.signals), _demand_columns(today)
    signals[:, -rows:, :count] = signals[:, :, :count].mean(1, keepdims=True)
    found["average_last_week"] = _asked(today, acting, lines, signals=signals)
    found["more_service"] = _more_service(today, acting, lines, judged)
    return found


def _more_service(today: Today, acting: Acting, lines: Lines, judged: LineRisks) -> np.ndarray:
    facts = today.params
    holding, shortage = np.asarray(facts.holding), np.asarray(facts.shortage)
    price = np.asarray(facts.price) if today.problem.env.topology.has("revenue") else 0.0
    under = shortage + price
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(under > 0, under / (under + holding), 0.0)
    higher = np.minimum(ratio + MORE_SERVICE, np.maximum(0.999, ratio))
    more = np.where(under > 0, holding * higher / np.maximum(1 - higher, 1e-6) - under, 0.0)
    again = _asked(
        today,
        acting,
        lines,
        params=facts.replace(shortage=(shortage + np.maximum(more, 0.0)).astype(np.float32)),
    )
    spread = np.maximum((judged.high - judged.low) / 2.563, 1e-6)
    level = ndtr((lines.target - judged.mean) / spread)
    level = np.clip(level, 0.5, 0.975)
    up = spread * (ndtri(level + MORE_SERVICE) - ndtri(level))
    return _or_by_forecast(acting, lines, again, up)


def _or_by_forecast(acting: Acting, lines: Lines, again: np.ndarray, up: np.ndarray) -> np.ndarray:
    """What was answered, or, where a rule orders the same whatever it is asked, what its target
    raised by `up` asks for."""
    raised = np.round(np.maximum(lines.target + up - lines.position, 0.0) / lines.pack) * lines.pack
    rule = np.asarray([isinstance(one.policy, Rule) for one in acting.deciders])[acting.which][
        :, None, None
    ]
    silent = rule & (again == lines.quantity) & (lines.asked > 0)
    return np.where(silent, np.maximum(raised, lines.quantity), again).astype(np.float32)


def _asked(today: Today, acting: Acting, lines: Lines, **changed) -> np.ndarray:
    quantity = np.zeros_like(lines.quantity)
    for number, decider in enumerate(acting.deciders):
        for name, rows, values in ask(
            today, decider, np.flatnonzero(acting.which == number), **changed
        ):
            if name == "quantity":
                quantity[rows] = values
    return quantity


def _demand_columns(today: Today) -> int:
    return today.problem.env.world.signals - today.problem.env.world.covariates


def _promotions(
    today: Today, named: Callable[[str], bool] = lambda name: name.lower().startswith("promotion")
) -> list[int]:
    """Columns of what is known ahead that tell of promotions."""
    return [
        column for column, signal in enumerate(today.problem.env.world.told) if named(signal.name)
    ]
