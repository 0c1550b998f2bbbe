"""The numbers of the omni-channel retailer that seed 002 leaves open, drawn by instance."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jaxinv.keys import instance_generator

if TYPE_CHECKING:
    from jaxinv.envs.omnichannel import OmniChannel


@dataclass(frozen=True)
class Drawn:
    """Numbers of S stores and the online channel; K categories.

    Attributes:
      mean: units a day at each store, and online `[S + 1, K]`.
      return_rates: share that comes back `[S + 1, K]`. return_shares: the same by day after the
        sale `[S + 1, K, R]`.
      holding: money per unit and day `[S]`. shortage: money per unit lost `[S + 1]`.
        store_lead_times: days `[S]`.
      from_centre: km to each store, and to a customer online `[S + 1]`.
      to_customers: km from each store to a customer online `[S]`.
    """

    mean: np.ndarray
    return_rates: np.ndarray
    return_shares: np.ndarray
    holding: np.ndarray
    shortage: np.ndarray
    store_lead_times: np.ndarray
    from_centre: np.ndarray
    to_customers: np.ndarray

    @classmethod
    def of(cls, preset: "OmniChannel") -> "Drawn":
        stores, categories = preset.stores, len(preset.return_rates)
        draw = instance_generator(preset.instance_seed)
        base = draw.uniform(*preset.base_demand, stores)
        shares = np.array(preset.category_shares or (1.0 / categories,) * categories)
        holding = draw.uniform(*preset.store_holding_costs, stores)
        shortage = draw.uniform(*preset.shortage_costs, stores + 1)
        first, last = preset.store_lead_times
        days = draw.integers(first, last + 1, stores)
        spread = draw.uniform(-preset.return_rate_spread, preset.return_rate_spread, stores + 1)
        place = draw.uniform(-0.5 * preset.region_km, 0.5 * preset.region_km, (stores, 2))
        rates = np.clip(np.array(preset.return_rates) + spread[:, None], 0.0, 1.0)
        if preset.returns == "literal":
            by_day = np.ones(1)
        else:
            after = np.arange(1, preset.return_days[1] + 1)
            by_day = (after >= preset.return_days[0]) / (
                preset.return_days[1] - preset.return_days[0] + 1.0
            )
        customers = base / base.sum()
        at_centre = np.hypot(*place.T)
        between = np.hypot(*np.moveaxis(place[:, None] - place[None], -1, 0))
        walk_in = (1.0 - preset.online_share) * base
        return cls(
            mean=np.append(walk_in, preset.online_share * base.sum())[:, None] * shares,
            return_rates=rates,
            return_shares=rates[..., None] * by_day,
            holding=holding,
            shortage=shortage,
            store_lead_times=days,
            from_centre=np.append(at_centre, customers @ at_centre),
            to_customers=between @ customers,
        )
