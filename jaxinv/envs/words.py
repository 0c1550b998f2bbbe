"""The arguments that tell a network, with their units: what each is a number of, and what it may
be.

An argument is named by what it is and by its units, and says which mechanism it needs: a network
has a mechanism where some node or edge is given one of its numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxinv.demand.arrivals import check_shares
from jaxinv.envs.problem import mass_function
from jaxinv.errors import UserError, unknown

UNLIMITED = 1e9
"""A limit where none was given; finite, so that it has a gradient."""

DAYS = {"day": 1.0, "week": 7.0}
"""Days of a period, by what a period is called."""


@dataclass(frozen=True)
class Number:
    """What an argument says.

    Attributes:
      field: of `jaxinv.envs.network.InstanceParams`.
      mechanism: of `jaxinv.envs.topology`, which it needs; None: every network has it.
      default: where others have it and this node or edge has not.
      low, high: bounds, both included.
      above: whether it must be above `low`.
      per_product: whether products may differ in it.
    """

    field: str
    mechanism: str | None = None
    default: float = 0.0
    low: float = 0.0
    high: float = np.inf
    above: bool = False
    per_product: bool = True

    def check(self, name: str, where: str, value: Any) -> np.ndarray:
        """The value as numbers.

        Raises:
          UserError: it is not a number, or out of bounds.
        """
        try:
            numbers = np.asarray(value, float)
        except (TypeError, ValueError):
            raise UserError(f"{where}: {name}={value!r} is not a number") from None
        if not np.all(np.isfinite(numbers)):
            raise UserError(
                f"{where}: {name}={value} must be finite; leave it out where there is none"
            )
        if self.above and not np.all(numbers > self.low):
            raise UserError(
                f"{where}: {name}={value} must be above {self.low:g}; leave it out where there is"
                " none"
            )
        if not np.all((numbers >= self.low) & (numbers <= self.high)):
            within = (
                f"at least {self.low:g}"
                if self.high == np.inf
                else f"within {self.low:g}..{self.high:g}"
            )
            raise UserError(f"{where}: {name}={value} must be {within}")
        return numbers


def _limit(field: str, mechanism: str) -> Number:
    return Number(field, mechanism, UNLIMITED, above=True, per_product=False)


ANY = -np.inf

NODE = {
    "holding_cost_per_unit_period": Number("holding"),
    "shortage_cost_per_unit": Number("shortage"),
    "price_per_unit": Number("price", "revenue"),
    "expiry_cost_per_unit": Number("expiry_cost", low=ANY),
    "shelf_life_periods": Number("shelf_life", "shelf_lives"),  # 0: it keeps for ever
    "storage_volume": _limit("capacity", "capacity"),
    "overflow_cost_per_volume_period": Number("overflow_cost", "capacity", per_product=False),
    "shipping_capacity_volume_per_period": _limit("shipping_capacity", "shipping_capacity"),
    "return_cost_per_unit": Number("return_cost"),
    "return_cost_per_period": Number("return_fixed_cost", per_product=False),
    "liquidation_value_per_unit": Number(
        "liquidation_value", low=ANY
    ),  # below 0 what is written off
    "waiting_share": Number("waiting_share", "waiting", 1.0, high=1.0),
    "resaleable_share": Number("resaleable_share", "resaleable", 1.0, high=1.0),
    "restocked_share": Number("restock_share", high=1.0),
    "forwarded_share": Number("forward_share", high=1.0),
    "goodwill_growth_per_period": Number("goodwill_growth", "goodwill", 1.0, low=1.0),
    "goodwill_decay_per_period": Number("goodwill_decay", "goodwill", 1.0, high=1.0),
    "goodwill_tolerance_share": Number("goodwill_tolerance", "goodwill"),
    "goodwill_lowest": Number("goodwill_low", "goodwill", 0.0, high=1.0),
    "goodwill_highest": Number("goodwill_high", "goodwill", UNLIMITED, low=1.0),
    "typical_demand_units_per_period": Number("scale"),
    "initial_stock_units": Number("initial_low", low=ANY),
    "initial_stock_from_units": Number("initial_low", low=ANY),
    "initial_stock_to_units": Number("initial_high", low=ANY),
}
"""Numbers of a node. A shortage costs per unit of lost sales, or per unit and period of
backorders, once for those of which only a share waits on.
"""

EDGE = {
    "cost_per_unit": Number("unit_cost", "unit_cost"),
    "cost_per_order": Number("fixed_cost", "fixed_cost"),
    "duty_per_unit": Number("duty", "duty"),
    "transit_cost_per_unit_period": Number("transit_holding", "transit_holding"),
    "loss_cost_per_unit": Number("loss_cost", "loss_cost"),
    "freight_cost_per_shipment": Number("freight_fixed", "freight", per_product=False),
    "pack_units": Number("pack_size", "packs", 1.0, above=True),
    "minimum_order_units": Number("minimum_order", "minimum_order"),
    "limit_volume_per_period": _limit("order_limit", "order_limit"),
    "review_periods": Number("review_period", "review", 1.0, low=1.0, per_product=False),
    "processing_yield": Number(
        "processing_yield", "processing_yield", 1.0, high=1.0, above=True, per_product=False
    ),
    "largest_order_units": Number("max_order"),
    "initial_pipeline_units_per_period": Number("initial_pipeline"),
}
"""Numbers of an edge. Costs are per unit that is shipped; of what is lost in processing, more is
taken from the source.
"""

TIMES = ("lead_time", "order_delay", "review", "shelf_life")
"""What is given in `_periods`, `_days` or `_weeks`."""

VOLUMES = {
    "storage_units": "storage_volume",
    "overflow_cost_per_unit_period": "overflow_cost_per_volume_period",
    "shipping_capacity_units_per_period": "shipping_capacity_volume_per_period",
    "limit_units_per_period": "limit_volume_per_period",
}
"""What may be given in units where products have no volumes, which then are 1 each."""


def in_own_units(
    where: str, given: Mapping[str, Any], period: str, volumes: bool
) -> dict[str, Any]:
    """Arguments in periods and volumes, those that are None left out.

    Args:
      where: the node or edge, for messages.
      period: what a period is called. volumes: whether products have volumes.

    Raises:
      UserError: a quantity in two units, one that is not a whole number of periods, or units where
        there are volumes.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        own, value = _own(where, name, value, period, volumes)
        if own in found:
            raise UserError(f"{where}: {own} is given twice, in two units; give it once")
        found[own] = value
    return found


def _own(where, name, value, period, volumes):
    if name in VOLUMES:
        if volumes:
            raise UserError(
                f"{where}: {name} contradicts volume_per_unit of the products; give {VOLUMES[name]}"
                " instead"
            )
        return VOLUMES[name], value
    if name in VOLUMES.values() and not volumes:
        other = next(units for units, volume in VOLUMES.items() if volume == name)
        raise UserError(
            f"{where}: {name} needs volume_per_unit of the products; give that to the network, or"
            f" {other} here"
        )
    stem, _, unit = name.rpartition("_")
    if stem not in TIMES or unit not in ("days", "weeks"):
        return name, value
    if period not in DAYS:
        raise UserError(
            f"{where}: {name} needs to know how long a period is; give period= one of"
            f" {', '.join(DAYS)}, or {stem}_periods"
        )
    periods = np.asarray(value, float) * DAYS[unit.removesuffix("s")] / DAYS[period]
    if not np.all(np.abs(periods - np.round(periods)) < 1e-9):
        raise UserError(
            f"{where}: {name}={value} is {periods} {period}s, and lead times, delays, reviews and"
            " shelf lives are whole periods"
        )
    return f"{stem}_periods", np.round(periods).astype(int)


def known_arguments(table: Mapping[str, Number], more: tuple[str, ...]) -> list[str]:
    """All argument names of a node or an edge, other units included."""
    names = [*table, *more, *(units for units, volume in VOLUMES.items() if volume in table)]
    stems = [name.removesuffix("_periods") for name in names if name.endswith("_periods")]
    return names + [
        f"{stem}_{unit}" for stem in stems if stem in TIMES for unit in ("days", "weeks")
    ]


def check_arguments(where: str, given: Mapping[str, Any], known: list[str]) -> None:
    """Refuses an argument that there is not, naming the nearest."""
    for name in given:
        if name not in known:
            raise unknown(f"argument of {where}", name, known)


def check_node(where: str, spec: Mapping[str, Any]) -> None:
    """Refuses numbers of a node that contradict each other."""
    shares = np.atleast_1d(np.asarray(spec.get("return_shares", ()), float))
    if shares.size and not (np.all(shares >= 0) and np.all(shares.sum(-1) <= 1 + 1e-9)):
        raise UserError(
            f"{where}: return_shares={spec['return_shares']} must be at least 0 and sum to at"
            " most 1"
        )
    if ("storage_volume" in spec) != ("overflow_cost_per_volume_period" in spec):
        raise UserError(
            f"{where}: a storage limit and its overflow cost go together: stock above the limit"
            " is only charged"
        )
    life = spec.get("shelf_life_periods", 0)
    if np.any(life != np.round(life)):
        raise UserError(
            f"{where}: shelf_life_periods={life} must be whole periods; 0 for goods that do not"
            " expire"
        )
    if spec.get("demand") is None and any(name.startswith("goodwill") for name in spec):
        raise UserError(
            f"{where}: goodwill changes demand, and the node has no demand; give it demand, or no"
            " goodwill"
        )
    if spec.get("demand") is None and spec.get("orders_ahead"):
        raise UserError(
            f"{where}: orders_ahead is about customers, and the node has no demand; give it one, or"
            " leave it out"
        )
    if not spec.get("holds_stock", True):
        _check_without_stock(where, spec)
    here, on = spec.get("restocked_share", 0.0), spec.get("forwarded_share", 0.0)
    if np.any(np.asarray(here) + np.asarray(on) > 1 + 1e-9):
        raise UserError(
            f"{where}: restocked_share and forwarded_share sum to more than 1; the rest of the"
            " returns, up to 1, is liquidated"
        )
    if "initial_stock_units" in spec and (
        "initial_stock_from_units" in spec or "initial_stock_to_units" in spec
    ):
        raise UserError(
            f"{where}: initial_stock_units contradicts initial_stock_from_units and _to_units; give"
            " one or the others"
        )
    if ("initial_stock_from_units" in spec) != ("initial_stock_to_units" in spec):
        raise UserError(
            f"{where}: give both initial_stock_from_units and initial_stock_to_units, or"
            " initial_stock_units"
        )
    if "initial_stock_to_units" in spec and np.any(
        spec["initial_stock_from_units"] > spec["initial_stock_to_units"]
    ):
        raise UserError(f"{where}: initial_stock_from_units is above initial_stock_to_units")


def _check_without_stock(where: str, spec: Mapping[str, Any]) -> None:
    if not spec.get("orders_ahead"):
        raise UserError(
            f"{where}: holds_stock=False needs orders_ahead=True: only orders that customers placed"
            " before are shipped there"
        )
    for name in spec:
        if name.startswith(
            ("holding_cost", "storage", "overflow", "initial_stock", "shipping_capacity")
        ):
            raise UserError(f"{where}: {name} makes no sense where holds_stock=False; leave it out")
    if "return_shares" in spec and "returns_to" not in spec:
        raise UserError(
            f"{where}: holds_stock=False needs returns_to, the node that its returns go to"
        )


def check_edge(where: str, spec: Mapping[str, Any], longest: int | None) -> None:
    """Refuses what is told of an edge where it means nothing; `longest`: of lead times, where its
    own is only quoted.
    """
    if ("lead_time_periods" in spec) == ("lead_time_pmf" in spec):
        raise UserError(
            f"{where} needs one of lead_time_periods (or _days, _weeks) and lead_time_pmf"
        )
    for name in ("lead_time_periods", "order_delay_periods"):
        times = np.asarray(spec.get(name, 0))
        whole = (
            longest is not None
            or np.issubdtype(times.dtype, np.number)
            and np.all(times == np.round(times))
        )
        if not (whole and np.all(times >= 0)):
            raise UserError(f"{where}: {name}={spec[name]} must be whole periods, 0 or more")
    if longest is not None and np.any(np.asarray(spec.get("lead_time_periods", 0)) > longest):
        raise UserError(
            f"{where}: lead_time_periods={spec['lead_time_periods']} is above"
            f" longest_lead_time_periods={longest}"
        )
    if "lead_time_pmf" in spec:
        mass_function(f"{where}: lead_time_pmf", tuple(spec["lead_time_pmf"]))
    if "arrival_shares" in spec:
        if not isinstance(spec["arrival_shares"], Mapping):
            raise UserError(
                f"{where}: arrival_shares is a mapping of shares to probabilities, such as {{0.0:"
                " 0.1, 1.0: 0.9}"
            )
        check_shares(tuple(spec["arrival_shares"]), tuple(spec["arrival_shares"].values()), where)
    start, rates = (
        np.asarray(spec.get(name, ()), float)
        for name in ("freight_from_units", "freight_rate_per_unit")
    )
    if start.shape != rates.shape or not np.all(np.isfinite(rates)):
        raise UserError(
            f"{where}: freight_from_units {start.shape} and freight_rate_per_unit {rates.shape}"
            " must be a number each a tier"
        )
    if start.size and not (np.all(start[..., 0] == 0) and np.all(np.diff(start) > 0)):
        raise UserError(
            f"{where}: freight_from_units={spec['freight_from_units']} must begin with 0 and rise"
        )
    if "order_cycle" in spec:
        cycle = np.asarray(spec["order_cycle"], float)
        if not (cycle.ndim and cycle.size and np.isin(cycle, (0.0, 1.0)).all() and cycle.any()):
            raise UserError(
                f"{where}: order_cycle={spec['order_cycle']} must be 0 or 1 for each period of a"
                " cycle, and 1 in some"
            )
        if "review_periods" in spec:
            raise UserError(
                f"{where}: order_cycle and review_periods both say when orders are taken; give one"
                " of them"
            )
    if "freight_cost_per_shipment" in spec and not start.size:
        raise UserError(
            f"{where}: freight_cost_per_shipment needs freight_from_units=[0] and"
            " freight_rate_per_unit"
        )
