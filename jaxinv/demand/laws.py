"""Stationary and seasonal demand by name: from a law and a few numbers to a process and its parameters."""

from dataclasses import dataclass

import numpy as np

from jaxinv.demand import processes, quantiles
from jaxinv.errors import UserError, unknown
from jaxinv.limits import check_numbers

NUMBERS = {
    "poisson": ("mean",),
    "geometric": ("mean",),
    "negative_binomial": ("mean", "dispersion"),
    "uniform": ("low", "high"),
    "gamma": ("mean", "variation"),
    "rounded_normal": ("mean", "deviation"),
}
"""Laws on whole units, and the numbers that each has."""

LAWS = (*NUMBERS, "normal", "truncated_normal", "seasonal", "ar1")


@dataclass(frozen=True)
class Law:
    """A demand law for locations that share it.

    Attributes:
      name: one of `LAWS`.
      mean: mean demand a period (before a normal law is cut at zero).
      deviation: standard deviation of the normal laws and of AR(1) innovations; for "seasonal" the seed has 0.1 mean.
        The rounded normal is on whole units, and counts what is negative as zero.
      dispersion: r of the negative binomial, variance mean + mean^2 / r.
      persistence: phi of AR(1).
      amplitude, period: of the sine season, as a share of the mean and in periods.
      low, high: range of the uniform law; its mean is their middle.
      variation: coefficient of variation of the gamma law, which is rounded to whole units.
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

    def __post_init__(self):
        check_numbers(self)
        if self.name not in LAWS:
            raise unknown("demand law", self.name, LAWS)
        if not self.mean > 0 or not self.dispersion > 0 or not self.period > 0 or not self.deviation >= 0:
            raise UserError("demand needs mean, dispersion and period above 0 and deviation of at least 0")
        if not self.variation > 0:
            raise UserError(f"variation={self.variation} must be above 0")
        if not 0 <= self.persistence < 1:
            raise UserError(f"persistence={self.persistence} must lie in 0..1, 1 excluded")
        if not 0 <= self.low < self.high:
            raise UserError(f"uniform demand needs 0 <= low < high, not {self.low} and {self.high}")

    @classmethod
    def parse(cls, text: str) -> "Law":
        """A law on whole units from its name and numbers, such as "poisson(3)" or "rounded_normal(5, 1)"."""
        name, _, rest = text.replace(" ", "").partition("(")
        if name not in NUMBERS:
            raise unknown("demand law on whole units", name, NUMBERS)
        names = NUMBERS[name]
        try:
            numbers = [float(number) for number in rest.removesuffix(")").split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != len(names):
            raise UserError(f"demand law {text!r} must be written {name}({', '.join(names)})")
        if name == "uniform":
            numbers = [int(number) for number in numbers]
        return cls(name, **dict(zip(names, numbers)))

    @property
    def average(self) -> float:
        if self.name == "rounded_normal":
            return float(np.sum(1.0 - self.table().astype(float)))
        return (self.low + self.high) / 2 if self.name == "uniform" else self.mean

    def table(self) -> np.ndarray:
        """The distribution function at 0, 1, … of a law on whole units `[M]`."""
        make = getattr(quantiles, f"{self.name}_cdf")
        return make(*(getattr(self, number) for number in NUMBERS[self.name]))

    def process(self, locations: int = 1, products: int = 1):
        """The process and its parameters for `[D, K]` independent copies of the law."""
        size = dict(locations=locations, products=products)

        def full(value):
            return np.full((locations, products), value, np.float32)

        if self.name in ("normal", "truncated_normal"):
            cut = "clip" if self.name == "normal" else "truncate"
            params = processes.NormalParams(full(self.mean), full(self.deviation), np.float32(0.0))
            return processes.Normal(**size, cut=cut), params
        if self.name == "seasonal":
            params = processes.SeasonalParams(
                base=full(self.mean), amplitude=full(self.amplitude), deviation=full(self.deviation / self.mean),
                period=np.float32(self.period), phase=full(0.0),
            )  # fmt: skip
            return processes.Seasonal(**size), params
        if self.name == "ar1":
            params = processes.AutoRegressiveParams(full(self.mean), full(self.persistence), full(self.deviation))
            return processes.AutoRegressive(**size), params
        table = self.table()
        cdf = np.broadcast_to(table[:, None, None], (len(table), locations, products))
        return processes.Tabulated(**size), processes.TableParams(cdf)


def independent(laws: list[Law]):
    """The process and its parameters for one product with a law on whole units at each location."""
    cdf = quantiles.stack_tables([law.table() for law in laws])
    return processes.Tabulated(locations=len(laws)), processes.TableParams(cdf[:, :, None])
