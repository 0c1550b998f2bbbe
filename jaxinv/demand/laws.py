"""Demand laws by name: from a law and a few numbers to a process and its parameters."""

from dataclasses import dataclass

import numpy as np

from jaxinv.demand import processes, quantiles
from jaxinv.demand.moving import KNOTS, Moving, MovingParams, Together
from jaxinv.errors import UserError, unknown
from jaxinv.limits import check_numbers

WHOLE = {
    "poisson": ("mean",),
    "geometric": ("mean",),
    "negative_binomial": ("mean", "dispersion"),
    "uniform": ("low", "high"),
    "gamma": ("mean", "variation"),
    "rounded_normal": ("mean", "deviation"),
}
"""Laws on whole units that stay put, which are tabulated, and the numbers that each has."""

_MOVES = ("amplitude", "period", "trend", "shock", "shock_start", "shock_stop")

NUMBERS = WHOLE | {
    "normal": ("mean", "deviation"),
    "truncated_normal": ("mean", "deviation"),
    "seasonal": ("mean", "deviation", "amplitude", "period"),
    "ar1": ("mean", "deviation", "persistence"),
    "trend": ("mean", "deviation", "trend"),
    "shock": ("mean", "deviation", "shock", "shock_start", "shock_stop"),
    "moving_poisson": ("mean", *_MOVES),
    "moving_negative_binomial": ("mean", "dispersion", *_MOVES),
}
"""All laws, and the numbers that each has."""

LAWS = tuple(NUMBERS)

FOREVER = 1e9
"""More periods than any episode has."""

NORMAL_MOVES = ("trend", "shock")
"""Laws whose mean moves, with normal noise."""


@dataclass(frozen=True)
class Law:
    """A demand law for locations that share it.

    Attributes:
      name: one of `LAWS`.
      mean: mean demand a period (before a normal law is cut at zero).
      deviation: standard deviation of the normal laws and of AR(1) innovations; for "seasonal" the
        seed has 0.1 mean. The rounded normal is on whole units, and counts what is negative as
        zero.
      dispersion: r of the negative binomial, variance mean + mean^2 / r.
      persistence: phi of AR(1).
      amplitude, period: of the sine season, as a share of the mean and in periods.
      low, high: range of the uniform law; its mean is their middle.
      variation: coefficient of variation of the gamma law, which is rounded to whole units.
      trend: growth of the mean a period, as a share of it, counted from the first decision on.
      shock: factor on the mean from period `shock_start` on and up to, without, `shock_stop`.

    By its bare name, a law whose mean moves has the season, the trend and the shock of the
    defaults; where it is written with numbers, it moves as they say (`parse`).
    """

    name: str = "poisson"
    mean: float = 5.0
    deviation: float = 1.6
    dispersion: float = 2.0
    persistence: float = 0.6
    amplitude: float = 0.2
    period: float = 7.0
    low: int = 0
    high: int = 4
    variation: float = 0.5
    trend: float = 0.01
    shock: float = 1.5
    shock_start: float = 30.0
    shock_stop: float = FOREVER

    def __post_init__(self):
        check_numbers(self)
        if self.name not in LAWS:
            raise unknown("demand law", self.name, LAWS)
        if (
            not self.mean > 0
            or not self.dispersion > 0
            or not self.period > 0
            or not self.deviation >= 0
        ):
            raise UserError(
                "demand needs mean, dispersion and period above 0 and deviation of at least 0"
            )
        if not self.variation > 0:
            raise UserError(f"variation={self.variation} must be above 0")
        if not 0 <= self.persistence < 1:
            raise UserError(f"persistence={self.persistence} must lie in 0..1, 1 excluded")
        if not self.shock >= 0 or not self.shock_start <= self.shock_stop:
            raise UserError(
                f"shock={self.shock:g} must be at least 0, and shock_stop={self.shock_stop:g} no"
                f" earlier than shock_start={self.shock_start:g}"
            )
        if not 0 <= self.low < self.high:
            raise UserError(f"uniform demand needs 0 <= low < high, not {self.low} and {self.high}")

    @classmethod
    def parse(cls, text: str) -> "Law":
        """A law from its name and numbers, such as "poisson(3)", "rounded_normal(5, 1)" or
        "moving_poisson(5, trend=0.02)".

        A law whose mean moves has the numbers that are named, and moves in no other way; all others
        are given in full.
        """
        name, _, rest = text.replace(" ", "").partition("(")
        if name not in NUMBERS:
            raise unknown("demand law", name, NUMBERS)
        names, still = NUMBERS[name], STILL if name.startswith("moving") else {}
        words, found, by_name = filter(None, rest.removesuffix(")").split(",")), {}, False
        for place, word in enumerate(words):
            key, named, number = word.rpartition("=")
            by_name = by_name or bool(named)
            key = key if by_name else names[min(place, len(names) - 1)]
            try:
                if key not in names or key in found:
                    raise ValueError
                found[key] = float(number)
            except ValueError:
                raise _miswritten(text, name) from None
        if not {*names} <= {*still, *found}:
            raise _miswritten(text, name)
        if name == "uniform":
            found = {key: int(number) for key, number in found.items()}
        return cls(name, **{key: still[key] for key in names if key in still} | found)

    @classmethod
    def of(cls, text: str, **numbers: float) -> "Law":
        """A law by its name, with these numbers, or from a text that has numbers of its own
        (`parse`).
        """
        return cls.parse(text) if "(" in text else cls(text, **numbers)

    @property
    def average(self) -> float:
        if self.name == "rounded_normal":
            return float(np.sum(1.0 - self.table().astype(float)))
        return (self.low + self.high) / 2 if self.name == "uniform" else self.mean

    def table(self) -> np.ndarray:
        """The distribution function at 0, 1, … of a law on whole units `[M]`."""
        make = getattr(quantiles, f"{self.name}_cdf")
        return make(*(getattr(self, number) for number in NUMBERS[self.name]))

    def process(self, locations: int = 1, products: int = 1, before: int = 0):
        """The process and its parameters for `[D, K]` independent copies of the law.

        Args:
          before: periods that are played before the first decision, the history.
        """
        size = dict(locations=locations, products=products)

        def full(value):
            return np.full((locations, products), value, np.float32)

        if self.name in ("normal", "truncated_normal"):
            cut = "clip" if self.name == "normal" else "truncate"
            params = processes.NormalParams(full(self.mean), full(self.deviation), np.float32(0.0))
            return processes.Normal(**size, cut=cut), params
        if self.name == "seasonal":
            params = processes.SeasonalParams(
                base=full(self.mean), amplitude=full(self.amplitude),
                deviation=full(self.deviation / self.mean),
                period=np.float32(self.period), phase=full(0.0),
            )  # fmt: skip
            return processes.Seasonal(**size), params
        if self.name == "ar1":
            params = processes.AutoRegressiveParams(
                full(self.mean), full(self.persistence), full(self.deviation)
            )
            return processes.AutoRegressive(**size), params
        if self.name in NORMAL_MOVES or self.name.startswith("moving"):
            return self._moving(size, full, before)
        table = self.table()
        cdf = np.broadcast_to(table[:, None, None], (len(table), locations, products))
        return processes.Tabulated(**size), processes.TableParams(cdf)

    def _moving(self, size, full, before):
        own = NUMBERS[self.name]
        moves = {
            number: full(getattr(self, number) if number in own else STILL[number])
            for number in _MOVES
        }
        params = MovingParams(
            base=full(self.mean),
            trend=moves["trend"],
            amplitude=moves["amplitude"],
            period=moves["period"],
            shock=moves["shock"],
            start=moves["shock_start"],
            stop=moves["shock_stop"],
            before=np.float32(before),
        )
        if self.name in NORMAL_MOVES:
            return Moving(**size, noise_law="normal"), params.replace(spread=full(self.deviation))
        if self.name == "moving_poisson":
            return Moving(**size), params
        mixing = quantiles.gamma_quantiles(self.dispersion, KNOTS)[:, None, None]
        mixing = np.broadcast_to(mixing, (KNOTS, size["locations"], size["products"]))
        return Moving(**size, noise_law="negative_binomial"), params.replace(mixing=mixing)


STILL = {
    "amplitude": 0.0,
    "period": 7.0,
    "trend": 0.0,
    "shock": 1.0,
    "shock_start": 0.0,
    "shock_stop": FOREVER,
}
"""Numbers of a mean that does not move."""


def _miswritten(text, name):
    how = [
        number
        if number not in STILL or name not in ("moving_poisson", "moving_negative_binomial")
        else f"{number}={STILL[number]:g}"
        for number in NUMBERS[name]
    ]
    return UserError(f"demand law {text!r} must be written {name}({', '.join(how)})")


def independent(laws: list[Law], before: int = 0):
    """The process and its parameters for one product with a law of its own at each location.

    Args:
      before: see `Law.process`.
    """
    if all(law.name in WHOLE for law in laws):
        cdf = quantiles.stack_tables([law.table() for law in laws])
        return processes.Tabulated(locations=len(laws)), processes.TableParams(cdf[:, :, None])
    parts, params = zip(*(law.process(before=before) for law in laws))
    return Together(locations=len(laws), parts=parts), params
