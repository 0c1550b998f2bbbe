"""An omni-channel retailer: a distribution centre, stores, and an online channel that both serve
(seed 002).

What the paper leaves open is settled here, and each choice is an option:

- Customers of the online channel order one day before their parcels leave, at the centre or at a
  store. They live where the stores are, so a parcel from the centre or from a store goes as far as
  it is, on average, from there to a store.
- Stores lie at random in a square about the centre. Distances give the bands of the transport
  tariff.
- A share of what is sold comes back some days later: at the store that sold it, or, of what was
  sold online, at the centre.
- What is bought is not paid for, as a lost sale costs the margin alone: what is liquidated costs
  the part of its value that is written off.
- Stock above a node's capacity is charged.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from jaxinv.demand.processes import Seasonal, SeasonalParams
from jaxinv.envs.builder import Network
from jaxinv.envs.omnichannel_draw import Drawn
from jaxinv.envs.problem import Preset, Problem, not_negative, positive, probability
from jaxinv.envs.roles import Roles
from jaxinv.envs.topology import Topology
from jaxinv.errors import UserError, unknown
from jaxinv.limits import check_memory

CENTRE, ONLINE = "centre", "online"


@dataclass(frozen=True, kw_only=True)
class OmniChannel(Preset):
    """A distribution centre that supplies stores, and an online channel that centre and stores
    serve (seed 002; methods E.2).

    Numbers of stores are drawn once from `instance_seed`, uniform between two ends. Products are
    categories of goods.

    Attributes:
      stores: number of stores.
      base_demand: ends of the mean demand of a store's region in units a day, both channels and all
        categories together.
      category_shares: share of each category in demand; empty: all alike.
      online_share: of demand that comes online.
      season_amplitude, season_period, demand_deviation: of equation 1, the first and last as shares
        of base demand; days.
      return_rates: share that comes back of each category; there are as many categories.
      return_rate_spread: a store's rates lie so far about these.
      returns: "lagged", a share of past sales, or "literal", of the same day's demand, served or
        not (equation 2 as printed).
      return_days: first and last day after a sale on which a unit may come back, all of them alike;
        for lagged returns.
      decide_returns: what becomes of returns is decided every day at each node and for each
        category; otherwise (and where orders alone are given) stores put back what can be sold
        again, and what was sold online goes to the centre.
      resaleable_share: of what comes back that can be sold again; the rest is liquidated.
      centre_lead_time: days. store_lead_times: ends of the days from the centre to a store, both
        included.
      centre_holding_cost, store_holding_costs: money per unit and day. shortage_costs: money per
        unit lost, of a store or online.
      centre_capacity_days, store_capacity_days: of mean demand that fit into a node. overflow_cost:
        money per unit above, and day.
      region_km: side of the square that stores lie in. band_km: where the second and further
        distance bands of transport begin.
      band_fixed_costs: money per shipment in each band. band_rates: money per unit.
      quantity_breaks, quantity_discounts: from how many units of a shipment on its further ones are
        cheaper, and by which share.
      return_fixed_cost: money per node and day with returns. return_unit_cost: money per unit
        (equation 4).
      value: of a unit. liquidation_loss: share of it that is written off where a unit is
        liquidated.
      reward: "costs", minus their sum in money, weighted by `weights`; or "paper", equation 8:
        service less the costs of stock and of returns, and with a `transport_weight` of transport,
        each as a multiple of its reference (`references`). Service is the fill rate in the long
        run: what is lost on a day as a share of mean demand. The constant in it is left out. The
        cost part "shortage" then counts units.
      service_weight, inventory_weight, returns_weight, transport_weight: alpha, beta, gamma of
        equation 8, and one for transport.
      instance_seed: of the numbers of stores.
    """

    history: int = 14
    stores: int = 10
    base_demand: tuple[float, ...] = (20.0, 60.0)
    category_shares: tuple[float, ...] = ()
    online_share: float = 0.3
    season_amplitude: float = 0.2
    season_period: float = 7.0
    demand_deviation: float = 0.1
    return_rates: tuple[float, ...] = (0.05, 0.10, 0.15)
    return_rate_spread: float = 0.02
    returns: str = "lagged"
    return_days: tuple[int, ...] = (3, 10)
    decide_returns: bool = True
    resaleable_share: float = 0.8
    centre_lead_time: int = 3
    store_lead_times: tuple[int, ...] = (2, 3)
    centre_holding_cost: float = 0.3
    store_holding_costs: tuple[float, ...] = (0.7, 1.3)
    shortage_costs: tuple[float, ...] = (6.3, 11.7)
    centre_capacity_days: float = 10.0
    store_capacity_days: float = 5.0
    overflow_cost: float = 2.0
    region_km: float = 500.0
    band_km: tuple[float, ...] = (50.0, 200.0)
    band_fixed_costs: tuple[float, ...] = (5.0, 8.0, 12.0)
    band_rates: tuple[float, ...] = (0.10, 0.15, 0.22)
    quantity_breaks: tuple[float, ...] = (50.0, 100.0)
    quantity_discounts: tuple[float, ...] = (0.10, 0.20)
    return_fixed_cost: float = 2.0
    return_unit_cost: float = 0.5
    value: float = 10.0
    liquidation_loss: float = 0.5
    reward: str = "costs"
    service_weight: float = 5.0
    inventory_weight: float = 1.0
    returns_weight: float = 0.5
    transport_weight: float = 0.0
    instance_seed: int = 0
    integer_orders: bool = False

    def __post_init__(self):
        super().__post_init__()
        positive(
            self,
            "stores",
            "season_period",
            "region_km",
            "centre_capacity_days",
            "store_capacity_days",
        )
        not_negative(
            self,
            "base_demand",
            "category_shares",
            "season_amplitude",
            "demand_deviation",
            "centre_lead_time",
        )
        not_negative(
            self,
            "store_lead_times",
            "centre_holding_cost",
            "store_holding_costs",
            "shortage_costs",
            "overflow_cost",
        )
        not_negative(self, "band_fixed_costs", "band_rates")
        not_negative(self, "return_rate_spread", "return_fixed_cost", "return_unit_cost", "value")
        not_negative(
            self, "service_weight", "inventory_weight", "returns_weight", "transport_weight"
        )
        probability(self, "online_share", "resaleable_share", "liquidation_loss")
        check_memory(4096 * self.stores**2, f"a network of {self.stores:,} stores", "stores")
        for name in (
            "base_demand",
            "store_lead_times",
            "store_holding_costs",
            "shortage_costs",
            "return_days",
        ):
            ends = getattr(self, name)
            if len(ends) != 2 or not ends[0] <= ends[1]:
                raise UserError(f"{name}={ends} must be the least and the most")
        for name, known in (("returns", ("lagged", "literal")), ("reward", ("costs", "paper"))):
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        self._check_shares()
        self._check_tariff()
        self._check_weights()

    def _check_shares(self):
        if not self.return_rates or not all(0 <= rate <= 1 for rate in self.return_rates):
            raise UserError(
                f"return_rates={self.return_rates} must be a share of each category, within 0..1"
            )
        if not self.base_demand[0] > 0:
            raise UserError(f"base_demand={self.base_demand} must be above 0")
        if self.returns == "lagged" and self.return_days[0] < 1:
            raise UserError(
                f"return_days={self.return_days}: returns come one day after the sale at the"
                " earliest; begin with 1 or more"
            )
        shares = self.category_shares
        if shares and (len(shares) != len(self.return_rates) or abs(sum(shares) - 1) > 1e-6):
            raise UserError(
                f"category_shares={shares} must be one of each of {len(self.return_rates)}"
                " categories, and sum to 1"
            )

    def _check_tariff(self):
        bands = len(self.band_km) + 1
        for name in ("band_fixed_costs", "band_rates"):
            if len(getattr(self, name)) != bands:
                raise UserError(
                    f"{name}={getattr(self, name)}: give one of each of the {bands} bands of"
                    f" band_km={self.band_km}"
                )
        if len(self.quantity_breaks) != len(self.quantity_discounts):
            given = (
                f"quantity_breaks={self.quantity_breaks} and"
                f" quantity_discounts={self.quantity_discounts}"
            )
            raise UserError(f"{given} must go in pairs")
        for name in ("band_km", "quantity_breaks"):
            if not np.all(np.diff((0.0, *getattr(self, name))) > 0):
                raise UserError(f"{name}={getattr(self, name)} must rise from above 0")
        if not all(0 <= discount <= 1 for discount in self.quantity_discounts):
            raise UserError(
                f"quantity_discounts={self.quantity_discounts} must be shares of the rate, within"
                " 0..1"
            )

    def _check_weights(self):
        if self.reward == "costs":
            return
        names = "service_weight, inventory_weight, returns_weight and transport_weight"
        if self.weights:
            raise UserError(f"weights are of reward=costs; reward=paper has {names}")
        if not any(
            (self.service_weight, self.inventory_weight, self.returns_weight, self.transport_weight)
        ):
            raise UserError(f"{names} are all zero; make one positive")

    # The instance

    @cached_property
    def drawn(self) -> Drawn:
        """The numbers of the stores."""
        return Drawn.of(self)

    @cached_property
    def references(self) -> dict[str, float]:
        """What a day costs in a plain plan, by cost part: each node ends a day with a day's demand,
        the centre serves all that is ordered online, every store is sent its mean demand every day,
        and returns are put back. "shortage" is mean demand in units.
        """
        drawn, whole = self.drawn, self.drawn.mean.sum(-1)
        stock = float(self.centre_holding_cost * whole.sum() + (drawn.holding * whole[:-1]).sum())
        rates = drawn.return_rates * drawn.mean  # units that come back a day
        written_off = self.liquidation_loss * self.value * (1.0 - self.resaleable_share)
        back = float(
            ((self.return_unit_cost + written_off) * rates).sum()
            + self.return_fixed_cost * (rates.sum(-1) > 0).sum()
        )
        moved = sum(self.freight(km, units) for km, units in zip(drawn.from_centre, whole))
        return {
            "shortage": float(whole.sum()),
            "holding": stock,
            "returns": back,
            "transport": float(moved),
        }

    def freight(self, km: float, units: float) -> float:
        """Money for a shipment of so many units over a distance."""
        starts = np.array((0.0, *self.quantity_breaks))
        within = np.clip(units - starts, 0.0, np.diff((*starts, np.inf)))
        return float(self.band_fixed_costs[self._band(km)] * (units > 0) + within @ self.rates(km))

    def _band(self, km: float) -> int:
        return int(np.searchsorted(self.band_km, km, side="right"))

    def rates(self, km: float) -> np.ndarray:
        """Money per unit in each quantity tier."""
        return self.band_rates[self._band(km)] * (1.0 - np.array((0.0, *self.quantity_discounts)))

    def _tariff(self, km: float) -> dict[str, Any]:
        return dict(
            freight_cost_per_shipment=self.band_fixed_costs[self._band(km)],
            freight_from_units=(0.0, *self.quantity_breaks),
            freight_rate_per_unit=tuple(self.rates(km)),
        )  # fmt: skip

    # What it makes

    def build(self) -> Problem:
        net, drawn = self._network(), self.drawn
        spread = self.season_amplitude, self.demand_deviation
        amplitude, deviation = (np.full(drawn.mean.shape, share, np.float32) for share in spread)
        demand = SeasonalParams(
            base=drawn.mean.astype(np.float32), amplitude=amplitude, deviation=deviation,
            period=np.float32(self.season_period), phase=np.zeros(drawn.mean.shape, np.float32),
        )  # fmt: skip
        process = Seasonal(locations=self.stores + 1, products=len(self.return_rates))
        topology = net.topology()
        told = Preset(
            horizon=self.horizon, history=self.history, tell=self.tell, weights=self.reward_weights
        )
        return net.problem(
            told,
            demand=(process, demand),
            name="omnichannel",
            test_periods=500,
            warm_up=100,
            roles={
                "functions": self._functions(topology),
                "stores": self._store_by_store(topology),
            },
        )

    @property
    def reward_weights(self) -> dict[str, float]:
        """Weights of the cost parts in the reward."""
        if self.reward == "costs":
            return dict(self.weights)
        wanted = {
            "shortage": self.service_weight, "holding": self.inventory_weight,
            "returns": self.returns_weight,
            "transport": self.transport_weight, "overflow": 0.0,
        }  # fmt: skip
        return {
            part: weight / (self.references.get(part) or 1.0) for part, weight in wanted.items()
        }

    @property
    def _places(self) -> list[str]:
        return [f"store {store}" for store in range(self.stores)]

    def _network(self) -> Network:
        drawn, paper = self.drawn, self.reward == "paper"
        total = drawn.mean.sum()
        net = Network(
            products=[f"category {number}" for number in range(1, len(self.return_rates) + 1)],
            period="day",
            whole_units=self.integer_orders, decide_returns=self.decide_returns,
            returns_of="sales" if self.returns == "lagged" else "demand",
        )  # fmt: skip
        net.supplier("supplier")
        shared = dict(
            resaleable_share=self.resaleable_share, return_cost_per_unit=self.return_unit_cost,
            return_cost_per_period=self.return_fixed_cost,
            liquidation_value_per_unit=-self.liquidation_loss * self.value,
        )  # fmt: skip
        net.node(
            CENTRE, holding_cost_per_unit_period=self.centre_holding_cost,
            storage_units=self.centre_capacity_days * total,
            overflow_cost_per_unit_period=self.overflow_cost, restocked_share=1.0, **shared,
        )  # fmt: skip
        for number, place in enumerate([*self._places, ONLINE]):
            node = shared | dict(
                demand=True, typical_demand_units_per_period=drawn.mean[number],
                return_shares=drawn.return_shares[number],
                returns_to=CENTRE, shortage_cost_per_unit=1.0 if paper else drawn.shortage[number],
            )  # fmt: skip
            if place == ONLINE:
                net.node(ONLINE, orders_ahead=True, holds_stock=False, forwarded_share=1.0, **node)
            else:
                net.node(
                    place, holding_cost_per_unit_period=drawn.holding[number], restocked_share=1.0,
                    storage_units=self.store_capacity_days * drawn.mean[number].sum(),
                    overflow_cost_per_unit_period=self.overflow_cost, **node,
                )  # fmt: skip
        net.edge("supplier", CENTRE, lead_time_days=self.centre_lead_time)
        for place, days, km in zip(self._places, drawn.store_lead_times, drawn.from_centre):
            net.edge(CENTRE, place, lead_time_days=int(days), **self._tariff(km))
        net.edge(CENTRE, ONLINE, lead_time_days=0, **self._tariff(drawn.from_centre[-1]))
        for store in np.argsort(drawn.to_customers, kind="stable"):  # the nearest first
            place = self._places[store]
            net.edge(
                place,
                ONLINE,
                sideways=True,
                lead_time_days=0,
                **self._tariff(drawn.to_customers[store]),
            )
        return net

    def _functions(self, topology: Topology) -> Roles:
        """An agent for each function, as in the paper: each sees all, and pays for what it
        moves.
        """
        stocks, edges = [CENTRE, *self._places], topology.edge_names
        straight = [name for name, to_customers in zip(edges, topology.fulfilment) if to_customers]
        bought = [name for name in edges if name not in straight]
        agents = {
            "ordering": {"decides": bought, "pays": [*stocks, *bought]},
            "shipping": {"decides": straight, "pays": [ONLINE, *straight]},
        }
        if self.decide_returns:
            agents["returns"] = {"returns": topology.node_names, "pays": topology.node_names}
        return Roles.told(topology, agents)

    def _store_by_store(self, topology: Topology) -> Roles:
        """The centre, and each store, for itself: a store sees itself and what is booked online,
        orders from the centre, and ships to customers online."""
        of_centre = [f"supplier-{CENTRE}", f"{CENTRE}-{ONLINE}"]
        agents = {
            CENTRE: {
                "sees": [CENTRE, ONLINE],
                "decides": of_centre,
                "pays": [CENTRE, ONLINE, *of_centre],
            }
        }
        for place in self._places:
            decides = [f"{CENTRE}-{place}", f"{place}-{ONLINE}"]
            agents[place] = {"sees": [place, ONLINE], "decides": decides, "pays": [place, *decides]}
        if self.decide_returns:
            agents[CENTRE]["returns"] = [CENTRE, ONLINE]
            for place in self._places:
                agents[place]["returns"] = [place]
        return Roles.told(topology, agents)
