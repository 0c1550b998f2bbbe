"""Base-stock whose level is linear in what is known of the coming period."""

import math
from dataclasses import dataclass

from jaxinv.errors import UserError
from jaxinv.policies.policy import fill_to
from jaxinv.policies.rules import EchelonBaseStock


@dataclass(frozen=True)
class FeatureBaseStock(EchelonBaseStock):
    """Order up to level + slope * x, where x is the one covariate of the coming period: two numbers for a single store.

    Both are multiples of the typical demand over the coverage of an order (`Rule`).

    Attributes:
      covariates: how many covariates the demand process has; it must be one.
    """

    covariates: int = 1

    name = "feature_base_stock"
    ranges = {"level": (-2.0, 4.0), "slope": (-2.0, 2.0)}
    levels = frozenset({"level", "slope"})
    bounds = dict.fromkeys(ranges, (-math.inf, math.inf))

    def __post_init__(self):
        if self.covariates != 1:
            raise UserError(
                f"feature_base_stock follows one covariate and this demand has {self.covariates}; deepstock has one"
            )

    def encode(self, params, signals, facts):
        """The covariate of each period `[T]`."""
        return signals[:, -1]

    def act(self, params, observation, context):
        target = (params["level"] + params["slope"] * context) * self.level_unit(observation.instance)
        return fill_to(self.topology, observation, target, self.position(observation))
