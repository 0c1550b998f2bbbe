"""Base-stock whose level is linear in what is known of the coming period."""

import math
from dataclasses import dataclass

from jaxinv.envs import views
from jaxinv.policies.rule import Rule


@dataclass(frozen=True)
class FeatureBaseStock(Rule):
    """Order the echelon up to level + sum_c slope_c x_c, where x are the covariates of the coming
    period.

    All numbers are multiples of the typical demand over the coverage of an order (`Rule`).

    Attributes:
      covariates: C, how many signals are told of the coming period.
    """

    covariates: int = 1

    name = "feature_base_stock"
    ranges = {"level": (-2.0, 4.0), "slope": (-2.0, 2.0)}  # a slope for each covariate `[E, K, C]`
    levels = frozenset({"level", "slope"})
    bounds = dict.fromkeys(ranges, (-math.inf, math.inf))

    @classmethod
    def applies(cls, problem):
        """Its numbers are too many to search where many edges each have their own."""
        topology = problem.env.topology
        return problem.env.world.covariates > 0 and topology.edges * topology.products == 1

    def shapes(self):
        shapes = super().shapes()
        return shapes | {"slope": (*shapes["slope"], self.covariates)}

    def natural(self, params, facts):
        unit = self.level_unit(facts)
        return {"level": params["level"] * unit, "slope": params["slope"] * unit[..., None]}

    def coverage(self, facts):
        return views.echelon_coverage(self.topology, facts)

    def encode(self, params, signals, facts):
        """The covariates of each period `[T, C]`."""
        return signals[:, signals.shape[1] - self.covariates :]

    def act(self, params, observation, context):
        level = params["level"] + (params["slope"] * context).sum(-1)
        target = level * self.level_unit(observation.instance)
        return self.fill(observation, target, views.edge_position(self.topology, observation))
