"""Demand laws as probability masses on the points 0, step, 2 step, …, in float64 on the host.

Laws on whole numbers are held exactly (step 1); normal laws are rounded to the nearest point, which
moves an average cost by an amount of the order of step^2.
"""

from dataclasses import dataclass

import numpy as np
from scipy import signal, special

from jaxinv.demand.processes import Normal, Tabulated
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.errors import UserError

NEGLIGIBLE = 1e-15
"""Probability that is cut off the upper end of a law: below the rounding of float64 sums."""

FACTORS = 80
"""Quadrature nodes for the common factor of correlated demand."""


@dataclass(frozen=True)
class DemandLaw:
    """One period's demand of one product, independent from period to period.

    Attributes:
      step: units between the points.
      local: a mass function `[M]` for each demand node.
      total: the mass function `[M']` of the sum over demand nodes.
    """

    step: float
    local: tuple[np.ndarray, ...]
    total: np.ndarray

    def mean(self, mass: np.ndarray) -> float:
        """Mean of a mass function on the points, in units."""
        return self.step * float(mass @ np.arange(len(mass)))


def demand_law(env: InventoryNetwork, params: InstanceParams, points: float) -> DemandLaw:
    """The law of an environment's demand.

    Args:
      params: of one instance with one product.
      points: in the smallest standard deviation, where demand is not on whole numbers anyway.

    Raises:
      UserError: where demand is not independent from period to period, or orders and demand share
        no lattice.
    """
    process, numbers = env.world.demand, params.demand
    if env.topology.has("packs") and (
        isinstance(process, Normal) or np.any(np.asarray(params.pack_size) != 1)
    ):
        raise UserError(
            "closed forms need integer_orders=false, or demand in whole units and packs of one"
        )
    if isinstance(process, Tabulated):
        cdf = np.asarray(numbers.cdf, float)[:, :, 0]
        local = tuple(np.diff(column, prepend=0.0, append=1.0) for column in cdf.T)
        return DemandLaw(1.0, local, sum_of(local))
    if isinstance(process, Normal) and not (process.correlated and process.cut == "truncate"):
        mean, deviation = (
            np.asarray(numbers.mean, float)[:, 0],
            np.asarray(numbers.deviation, float)[:, 0],
        )
        step = float(deviation.min() if deviation.min() > 0 else mean.max()) / points
        local = tuple(normal_mass(*pair, step, process.cut) for pair in zip(mean, deviation))
        correlation = float(numbers.correlation) if process.correlated else 0.0
        total = (
            _correlated_total(mean, deviation, correlation, step) if correlation else sum_of(local)
        )
        return DemandLaw(step, local, total)
    raise UserError(
        "closed forms need demand that is independent from period to period (a table or a normal"
        f" law), not {type(process).__name__}; evaluate against tuned rules instead"
    )


def normal_mass(mean: float, deviation: float, step: float, cut: str = "clip") -> np.ndarray:
    """A normal law cut at zero, rounded to the points: `[M]`.

    Args:
      cut: "clip" puts what is negative at zero, "truncate" conditions on being positive
        (`processes.Normal`).
    """
    deviation = max(deviation, 1e-9 * step)
    last = max(int(np.ceil((mean + 9 * deviation) / step)), 1)
    reached = special.ndtr(((np.arange(last) + 0.5) * step - mean) / deviation)
    if cut == "truncate":
        below = special.ndtr(-mean / deviation)
        reached = (reached - below) / (1 - below)
    return np.diff(reached, prepend=0.0, append=1.0)


def sum_of(masses) -> np.ndarray:
    """Mass function of a sum of independent demands; of none, a certain zero."""
    total = np.ones(1)
    for mass in masses:
        long = min(len(total), len(mass)) > 64
        total = _trim(signal.fftconvolve(total, mass)) if long else np.convolve(total, mass)
    return total


def cover(mass: np.ndarray, periods: int) -> np.ndarray:
    """Mass function of demand over `periods` periods."""
    return sum_of([mass] * periods)


def expected(mass: np.ndarray, values: np.ndarray, slope: float) -> np.ndarray:
    """E f(y - D) at the points y = 0 .. n-1 `[n]`.

    Args:
      mass: of D on the points.
      values: `[n]` f at the points 0 .. n-1; below zero f is linear.
      slope: of f below zero, a point.
    """
    size = len(values)
    inside = signal.fftconvolve(values, mass)[:size]
    beyond = np.clip(1.0 - np.cumsum(mass), 0.0, None)
    beyond = np.pad(beyond[:size], (0, max(size - len(mass), 0)))
    return inside + beyond * values[0] - slope * shortfall(mass, size)


def shortfall(mass: np.ndarray, size: int) -> np.ndarray:
    """E (D - y)^+ in points, at y = 0 .. size-1."""
    exceeds = np.cumsum(mass[::-1])[::-1]  # P(D >= k), summed from the small end
    loss = np.cumsum(exceeds[::-1])[::-1] - exceeds  # at y, the sum of P(D >= k) over k > y
    return np.pad(loss, (0, max(size - len(loss), 0)))[:size]


def newsvendor_costs(mass: np.ndarray, size: int, holding: float, shortage: float) -> np.ndarray:
    """h E(y - D)^+ + b E(D - y)^+ at the points y = 0 .. size-1, for costs a point; either may be
    negative.
    """
    short = shortfall(mass, size)
    return holding * (np.arange(size) - mass @ np.arange(len(mass)) + short) + shortage * short


def _correlated_total(mean, deviation, correlation: float, step: float) -> np.ndarray:
    """The sum of clipped normals that share a factor: independent given the factor, mixed over its
    quadrature.
    """
    nodes, shares = np.polynomial.hermite_e.hermegauss(FACTORS)
    shares = shares / shares.sum()
    own = np.sqrt(1 - correlation) * deviation
    given = [
        [
            normal_mass(*pair, step)
            for pair in zip(mean + np.sqrt(correlation) * deviation * node, own)
        ]
        for node in nodes[shares > NEGLIGIBLE]
    ]
    size = max(sum(len(mass) for mass in masses) for masses in given)
    spectra = (np.prod([np.fft.rfft(mass, size) for mass in masses], 0) for masses in given)
    mixed = sum(share * spectrum for share, spectrum in zip(shares[shares > NEGLIGIBLE], spectra))
    return _trim(np.fft.irfft(mixed, size))


def _trim(mass: np.ndarray) -> np.ndarray:
    """Without the rounding of a transform: nothing negative, no tail, adds up to 1."""
    mass = np.maximum(mass, 0.0)
    beyond = np.cumsum(mass[::-1])[::-1]
    mass = mass[: max(int(np.sum(beyond > NEGLIGIBLE)), 1)]
    return mass / mass.sum()
