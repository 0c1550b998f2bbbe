"""`Network`: a supply network told node by node and edge by edge, from which its topology, numbers
and problem are made.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxinv.demand.arrivals import ArrivalLaw, Arrivals
from jaxinv.demand.exogenous import QuotedLeadTimes, RandomLeadTimes, RandomLeadTimesParams, World
from jaxinv.demand.laws import WHOLE, Law, independent
from jaxinv.demand.order_days import OrderDays
from jaxinv.demand.processes import TableParams, Tabulated
from jaxinv.demand.quantiles import stack_tables
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.problem import Preset, Problem, weight_vector
from jaxinv.envs.told import Arrays, stack
from jaxinv.envs.topology import MECHANISMS, SUPPLIER, Topology
from jaxinv.envs.words import (
    EDGE,
    NODE,
    Number,
    check_arguments,
    check_edge,
    check_node,
    in_own_units,
    known_arguments,
)  # fmt: skip
from jaxinv.errors import UserError, unknown

NODE_WORDS = ("demand", "orders_ahead", "holds_stock", "return_shares", "returns_to")
EDGE_WORDS = (
    "lead_time_periods", "lead_time_pmf", "order_delay_periods", "arrival_shares",
    "freight_from_units", "freight_rate_per_unit",
    "order_cycle",
)  # fmt: skip
"""Arguments that are no plain number of `jaxinv.envs.words`."""

RETURNS = (
    "restock_share",
    "forward_share",
    "return_cost",
    "return_fixed_cost",
    "liquidation_value",
)
"""Fields that a network has where anything is returned."""


class Network:
    """A supply network in words. Everything is checked when it is built, before anything is
    compiled.

        net = jaxinv.Network()
        net.supplier("factory")
        costs = dict(holding_cost_per_unit_period=1.0, shortage_cost_per_unit=9.0)
        net.node("shop", demand="poisson(5)", **costs)
        net.edge("factory", "shop", lead_time_periods=4)
        problem = net.problem()

    Arguments carry their units. `jaxinv.envs.words` lists the numbers of a node (`NODE`) and of an
    edge (`EDGE`); times may be given in `_periods`, `_days` or `_weeks`, limits in volume where
    products have one, and else in units. A number is one for all products, or one for each: a
    sequence, or a mapping by their names. Where there are instances, an array has one number, or a
    row of one for each product, for each of them. What none is given a number of is not there, and
    costs nothing.

    What an author must know:

    - A period: orders are shipped, demand is served, returns come back, costs are charged, and what
      is due next arrives. So what arrives at the start of a period can be shipped on in the same
      period (not with `orders_first`).
    - The first `history` periods of demand are used up before the first decision: a recorded trace
      must begin that earlier.
    - Policies do not see time, unless they are told: by `tell` of the preset
      (`jaxinv.demand.clock`), or by signals of the demand process.

    Args:
      products: their number, or their names.
      volume_per_unit: of each product, where storage, shipping or edges are limited by volume.
      period: what a period is called, such as "day" or "week".
      instances: number of instances, which differ in numbers alone; None for one.
      backlog, internal_backlog, rationing, issuing: see `jaxinv.envs.topology.Topology`.
      whole_units: orders are whole units, or whole packs.
      shelf_life_periods: in which a unit can be sold, the one it arrives in included; 1 where
        nothing perishes. A node may say its own instead, by product and instance, 0 for what keeps
        for ever.
      orders_first: orders are shipped from what was there before the arrivals of the period.
      decide_returns: what becomes of returns is decided in every period
        (`jaxinv.envs.network.Action`).
      returns_of: "sales" of earlier periods, or "demand" of the same one, with one share
        (`jaxinv.envs.topology.Topology`).
      budget_per_period: money for all that suppliers are paid.
      longest_lead_time_periods: where a process of the author's own draws lead times; those of
        edges are then what is quoted.
      order_memory_periods: how many past orders the state keeps.
    """

    def __init__(
        self, products: int | Sequence[str] = 1, *, volume_per_unit=None, period: str = "period",
        instances: int | None = None,
        backlog: bool = False, internal_backlog: bool = False, rationing: str = "proportional",
        whole_units: bool = False,
        shelf_life_periods: int = 1, issuing: str = "oldest", orders_first: bool = False,
        decide_returns: bool = False,
        returns_of: str = "sales",
        budget_per_period: float | None = None, longest_lead_time_periods: int | None = None,
        order_memory_periods: int = 0,
    ):  # fmt: skip
        named = not isinstance(products, int)
        self.products = (
            tuple(map(str, products)) if named else tuple(f"product {k}" for k in range(products))
        )
        if not self.products or len(set(self.products)) < len(self.products):
            raise UserError(
                f"products={products!r}: a network needs at least one product, each with a name of"
                " its own"
            )
        self.volume, self.period, self.instances = volume_per_unit, period, instances
        self._arrays = Arrays(self.products, instances)
        self.budget, self.longest = budget_per_period, longest_lead_time_periods
        self._static = dict(
            backlog=backlog, internal_backlog=internal_backlog, rationing=rationing,
            issuing=issuing,
            order_memory=order_memory_periods, returns_of=returns_of,
        )  # fmt: skip
        self._shelf_life = shelf_life_periods
        self._mechanisms = {
            "packs": whole_units,
            "orders_first": orders_first,
            "dispositions": decide_returns,
        }
        self._mechanisms["budget"] = budget_per_period is not None
        self._suppliers: list[str] = []
        self._nodes: dict[str, dict[str, Any]] = {}
        self._edges: dict[str, dict[str, Any]] = {}
        counts = dict(
            instances=instances,
            longest_lead_time_periods=self.longest,
            shelf_life_periods=shelf_life_periods,
        )
        for name, count in counts.items():
            if count is not None and not (isinstance(count, (int, np.integer)) and count >= 1):
                raise UserError(f"{name}={count} must be a whole number of at least 1")
        if volume_per_unit is not None:
            self._arrays.row(
                Number("volume", above=True), "volume_per_unit", "the network", volume_per_unit
            )
        if budget_per_period is not None:
            Number("budget", above=True).check(
                "budget_per_period", "the network", budget_per_period
            )

    # Telling

    def supplier(self, name: str) -> None:
        """An outside source, which ships all that it is asked for (an edge may be limited)."""
        self._claim(name)
        self._suppliers.append(name)

    def node(self, name: str, **given: Any) -> None:
        """A place that holds stock, or a channel that sells from that of others.

        Args:
          name: of the node.
          demand: of customers a period: a law such as "poisson(5)" or a `Law`, one for each product
            where they differ; or True where the process is given to `problem`. Without it, none.
          orders_ahead: customers order one period before they are served, so that orders of a
            period know what they ask for.
          holds_stock: False for a channel such as "online": what edges bring there, with lead time
            0, goes to customers who have ordered, and no more than these ordered is shipped. Where
            returns are not sent on from there, they are liquidated.
          return_shares: shares of a unit sold that come back 1, 2, … periods later; one row for all
            products, or one for each. With returns_of="demand" one share, of what is asked for in
            the same period.
          returns_to: the node that forwarded returns go to.
          **given: numbers of `jaxinv.envs.words.NODE`.
        """
        where = f"node {name!r}"
        check_arguments("node", given, known_arguments(NODE, NODE_WORDS))
        spec = in_own_units(where, given, self.period, self.volume is not None)
        for argument, value in spec.items():
            if argument in NODE:
                spec[argument] = self._arrays.row(NODE[argument], argument, where, value)
        check_node(where, spec)
        if "initial_stock_units" in spec:
            same = spec.pop("initial_stock_units")
            spec |= {"initial_stock_from_units": same, "initial_stock_to_units": same}
        self._claim(name)
        self._nodes[name] = spec

    def edge(
        self,
        source: str,
        destination: str,
        *,
        name: str | None = None,
        sideways: bool = False,
        **given: Any,
    ) -> None:
        """A way from a supplier or node to a node.

        Args:
          name: of the edge; by default "source-destination". "" gives none, where all edges go
            without.
          sideways: it moves stock between equals, and what it leads to is no part of the echelon of
            its source.
          lead_time_periods: from shipment to arrival (or `_days`, `_weeks`).
          lead_time_pmf: instead, the probabilities of 0, 1, 2, … periods, drawn for each order.
          order_delay_periods: that an order travels before its source can ship it.
          arrival_shares: the shares of a shipment that may arrive, and the probability of each:
            `{0.0: 0.1, 1.0: 0.9}`.
          freight_from_units, freight_rate_per_unit: where each tier of the tariff starts, the first
            at 0, and its rate.
          order_cycle: 1 for each period of a cycle in which orders are taken and 0 for the others,
            such as `(1, 0, 0, 1, 0, 0, 0)`; the first is that of the first period of demand. Where
            there are instances, a row for each will do too. Without it, orders are taken always.
          **given: numbers of `jaxinv.envs.words.EDGE`.
        """
        where = f"edge {source}-{destination}" if not name else f"edge {name!r}"
        check_arguments("edge", given, known_arguments(EDGE, EDGE_WORDS))
        spec = in_own_units(where, given, self.period, self.volume is not None)
        for end, known in (
            (source, [*self._suppliers, *self._nodes]),
            (destination, [*self._nodes]),
        ):
            if end not in known:
                what = (
                    "a supplier takes nothing in"
                    if end in self._suppliers
                    else "tell suppliers and nodes before edges"
                )
                raise UserError(f"{unknown(f'end of {where}', end, known)} ({what})")
        if source == destination:
            raise UserError(f"{where} leads from a node to itself; leave it out")
        name = f"{source}-{destination}" if name is None else name
        if (name or f"{source}-{destination}") in self._edges:
            raise UserError(
                f"{where} is told twice; give each way between the two a name of its own, such as"
                " name='air'"
            )
        for argument, value in spec.items():
            if argument in EDGE:
                spec[argument] = self._arrays.row(EDGE[argument], argument, where, value)
        check_edge(where, spec, self.longest)
        spec |= {
            "source": source,
            "destination": destination,
            "sideways": sideways,
            "named": bool(name),
        }
        self._edges[name or f"{source}-{destination}"] = spec

    # What it makes

    def topology(self) -> Topology:
        """The static shape.

        Raises:
          UserError: a network that means nothing, such as one without supply.
        """
        place = {name: number for number, name in enumerate(self._nodes)}
        edges, nodes = [*self._edges.values()], [*self._nodes.values()]
        self._check_supply(edges)
        lags = max((np.shape(spec.get("return_shares", ()))[-1] for spec in nodes), default=0)
        to = [spec.get("returns_to", self._shelf(name)) for name, spec in self._nodes.items()]
        sent_on = any("returns_to" in spec for spec in nodes) or lags and to != [*self._nodes]
        for name in to:
            if name not in place:
                raise unknown("node that returns go to", name, place)
        delays = tuple(int(spec.get("order_delay_periods", 0)) for spec in edges)
        lives = [
            int(np.max(spec["shelf_life_periods"]))
            for spec in nodes
            if "shelf_life_periods" in spec
        ]
        fixed, longest = self._lead_times(edges)
        return Topology(
            nodes=len(nodes),
            sources=tuple(place.get(spec["source"], SUPPLIER) for spec in edges),
            destinations=tuple(place[spec["destination"]] for spec in edges),
            demand_nodes=tuple(
                number for number, spec in enumerate(nodes) if spec.get("demand") is not None
            ),
            advance_nodes=tuple(
                number for number, spec in enumerate(nodes) if spec.get("orders_ahead")
            ),
            storeless=tuple(
                number for number, spec in enumerate(nodes) if not spec.get("holds_stock", True)
            ),
            products=len(self.products),
            lead_times=fixed,
            max_lead_time=longest,
            lateral=tuple(number for number, spec in enumerate(edges) if spec["sideways"]),
            order_delays=delays if any("order_delay_periods" in spec for spec in edges) else (),
            ages=max(self._shelf_life, 2, *lives) if lives else self._shelf_life,
            return_lags=lags,
            return_to=tuple(place[name] for name in to) if sent_on else (),
            tiers=max(
                (np.shape(spec.get("freight_from_units", ()))[-1] for spec in edges), default=0
            ),
            mechanisms=self._all_mechanisms(nodes, edges),
            node_names=tuple(self._nodes),
            edge_names=tuple(self._edges) if any(spec["named"] for spec in edges) else (),
            **self._static,
        )

    def params(
        self, horizon: int = 100, weights: Mapping[str, float] | None = None, **more: Any
    ) -> InstanceParams:
        """The numbers, with a leading axis where there are instances.

        Args:
          horizon: periods of an episode.
          weights: of cost parts in the reward, 1 where not given.
          **more: further fields, such as `demand`, which only the author knows.
        """
        topology, many = self.topology(), self.instances
        nodes, edges = [*self._nodes.values()], [*self._edges.values()]
        self._check_used(topology)
        arrays = self._arrays
        scale = arrays.table(nodes, NODE, "typical_demand_units_per_period", self._typical(nodes))
        per_edge = scale[..., list(topology.destinations), :]
        held = (
            np.where(topology.among(topology.storeless), 0.0, scale)
            if topology.storeless
            else scale
        )
        lead_time = stack([arrays.row(_QUOTED, "", "", _quoted(spec)) for spec in edges], _QUOTED)
        most = per_edge * (lead_time[..., None] + 2.0)
        weight = weight_vector(dict(weights or {}), topology)
        fields = {
            "max_steps_in_episode": horizon if many is None else np.full(many, horizon, np.int32),
            "weights": weight if many is None else np.tile(weight, (many, 1)),
            "scale": scale,
            "initial_low": arrays.table(nodes, NODE, "initial_stock_from_units", 0.5 * held),
            "initial_high": arrays.table(nodes, NODE, "initial_stock_to_units", 2.5 * held),
            "lead_time": lead_time,
            "initial_pipeline": arrays.table(
                edges, EDGE, "initial_pipeline_units_per_period", per_edge
            ),
            "max_order": arrays.table(edges, EDGE, "largest_order_units", most),
        }
        if topology.has("shelf_lives"):  # of a node that says nothing, that of the network
            usual = self._shelf_life if self._shelf_life > 1 else 0.0
            fields["shelf_life"] = arrays.table(
                nodes, NODE, "shelf_life_periods", np.full(scale.shape, usual)
            )
        for words, places in ((NODE, nodes), (EDGE, edges)):
            for name, number in words.items():
                if number.field not in fields and self._has(topology, number):
                    fields[number.field] = arrays.table(places, words, name)
        if topology.tiers:
            fields |= arrays.tariff(edges, topology.tiers)
        if topology.return_lags:
            shares = np.zeros((*arrays.batch, len(nodes), len(self.products), topology.return_lags))
            for number, spec in enumerate(nodes):
                told = np.asarray(spec.get("return_shares", ()), float)
                if told.ndim > 1 and len(told) != len(self.products):
                    name = [*self._nodes][number]
                    raise UserError(
                        f"node {name!r}: {len(told)} rows of return_shares for {len(self.products)}"
                        " products; give one of each"
                    )
                shares[..., number, :, : told.shape[-1]] = told
            fields["return_share"] = shares.astype(np.float32)
        if any(topology.has(name) for name in ("capacity", "order_limit", "shipping_capacity")):
            volume = 1.0 if self.volume is None else self.volume
            fields["volume"] = arrays.row(Number("volume"), "", "", volume).astype(np.float32)
        if topology.has("calendar"):
            fields |= arrays.order_days(edges)
        if topology.has("budget"):
            fields["budget"] = np.full(arrays.batch, self.budget, np.float32)
        if any("lead_time_pmf" in spec for spec in edges):
            fields["lead_time_law"] = arrays.copies(
                self._lead_time_law(edges, topology.max_lead_time)
            )
        if topology.has("arrivals"):
            laws = {
                number: spec["arrival_shares"]
                for number, spec in enumerate(edges)
                if "arrival_shares" in spec
            }
            fields["arrival_law"] = arrays.copies(ArrivalLaw.of(laws, len(edges)))
        return InstanceParams(**{**fields, **more})

    def problem(
        self, preset: Preset | None = None, *, demand: tuple[Any, Any] | None = None,
        lead_times: tuple[Any, Any] | None = None,
        name: str = "network", test_periods: int = 1000, warm_up: int = 100, **more: Any,
    ) -> Problem:  # fmt: skip
        """The problem of the network, on which policies are trained, tuned and judged on fresh
        noise.

        Args:
          preset: says how long an episode is, what of history is seen, and what costs weigh; by
            default 100, 1 and 1.
          demand: process and numbers of the demand of all nodes that have any, where it is not made
            of their laws.
          lead_times: process and law of lead times, with `longest_lead_time_periods`; by default
            what is quoted holds.
          name: of the environment.
          test_periods, warm_up, **more: see `jaxinv.envs.problem.Problem`.
        """
        preset = Preset() if preset is None else preset
        topology, lead_process, law = self.topology(), None, {}
        process, numbers = self._demand(preset.history) if demand is None else demand
        if topology.random_lead_time:
            drawn = any("lead_time_pmf" in spec for spec in self._edges.values())
            lead_process = RandomLeadTimes(topology.edges) if drawn else QuotedLeadTimes()
            if lead_times is not None:
                lead_process, law = lead_times[0], {"lead_time_law": lead_times[1]}
        arrivals = Arrivals(topology.edges) if topology.has("arrivals") else None
        world = World(
            process,
            lead_process,
            preset.clock,
            arrivals,
            OrderDays() if topology.has("calendar") else None,
        )
        params = self.params(preset.horizon, preset.weights, demand=numbers, **law)
        first = (
            params if self.instances is None else jax.tree.map(lambda leaf: leaf[0], params)
        )  # on the host
        env = InventoryNetwork(topology, world, first, preset.history, name)
        return Problem(
            env, params, params, self.instances, test_periods=test_periods, warm_up=warm_up, **more
        )

    # Checks and conversions

    def _claim(self, name: str) -> None:
        if not name or name in self._nodes or name in self._suppliers:
            raise UserError(
                f"name {name!r} is taken or empty; give every supplier and node a name of its own"
            )

    def _has(self, topology: Topology, number: Number) -> bool:
        if number.field in RETURNS:
            return topology.return_lags > 0 and (
                number.field != "forward_share" or bool(topology.return_to)
            )
        if number.field == "expiry_cost":
            return topology.ages > 1
        return number.mechanism is None or topology.has(number.mechanism)

    def _all_mechanisms(self, nodes, edges) -> frozenset[str]:
        found = {name for name, there in self._mechanisms.items() if there}
        for table, places in ((NODE, nodes), (EDGE, edges)):
            found |= {
                number.mechanism
                for name, number in table.items()
                if any(name in spec for spec in places)
            }
        found |= {"arrivals"} if any("arrival_shares" in spec for spec in edges) else set()
        found |= {"freight"} if any("freight_from_units" in spec for spec in edges) else set()
        found |= {"calendar"} if any("order_cycle" in spec for spec in edges) else set()
        return frozenset(found & set(MECHANISMS))

    def _check_supply(self, edges) -> None:
        for name in self._suppliers:
            if not any(spec["source"] == name for spec in edges):
                raise UserError(
                    f"supplier {name!r} supplies nothing; give it an edge, or leave it out"
                )
        supplied = set(self._suppliers)
        for _ in self._nodes:
            supplied |= {spec["destination"] for spec in edges if spec["source"] in supplied}
        dry = [name for name in self._nodes if name not in supplied]
        if dry or not self._nodes:
            lacking = (
                f"no way leads from a supplier to {', '.join(dry)}" if dry else "there is no node"
            )
            raise UserError(
                f"a network without supply: {lacking}; tell a supplier and the edges from it"
            )
        if all(spec.get("demand") is None for spec in self._nodes.values()):
            raise UserError(
                "a network without demand; give at least one node demand, such as"
                " demand='poisson(5)'"
            )

    def _check_used(self, topology: Topology) -> None:
        """Refuses a number that nothing would ever read."""
        for table, places in ((NODE, self._nodes), (EDGE, self._edges)):
            for name, number in table.items():
                if not self._has(topology, number):
                    for place in (place for place, spec in places.items() if name in spec):
                        needs = {
                            "expiry_cost": (
                                "shelf_life_periods of the node, or 2 or more of the network"
                            ),
                            "forward_share": "return_shares and returns_to",
                        }
                        raise UserError(
                            f"{place!r}: {name} needs {needs.get(number.field, 'return_shares')};"
                            " nothing reads it without"
                        )
        if topology.has("budget") and not topology.has("unit_cost"):
            raise UserError(
                "budget_per_period needs cost_per_unit on the edges that it is to pay for"
            )

    def _shelf(self, name: str) -> str:
        """The node itself, or, where it holds no stock, the first that sends there."""
        if self._nodes[name].get("holds_stock", True):
            return name
        senders = [spec["source"] for spec in self._edges.values() if spec["destination"] == name]
        return next((sender for sender in senders if sender in self._nodes), name)

    def _lead_times(self, edges) -> tuple[tuple[int, ...] | None, int]:
        """Fixed lead times, or None and the longest."""
        given = [
            np.atleast_1d(spec["lead_time_periods"])
            for spec in edges
            if "lead_time_periods" in spec
        ]
        longest = max((int(np.max(lead)) for lead in given), default=0)
        if self.longest is not None:
            return None, self.longest
        pmfs = [len(spec["lead_time_pmf"]) - 1 for spec in edges if "lead_time_pmf" in spec]
        if pmfs or any(lead.min() < lead.max() for lead in given):
            return None, max(longest, *pmfs) if pmfs else longest
        return tuple(int(lead[0]) for lead in given), 0

    def _lead_time_law(self, edges, longest) -> RandomLeadTimesParams:
        mass = np.zeros((longest + 1, len(edges)))
        for number, spec in enumerate(edges):
            pmf = spec.get("lead_time_pmf")
            if pmf is None:
                mass[int(np.max(spec["lead_time_periods"])), number] = 1.0
            else:
                mass[: len(pmf), number] = pmf
        cdf = np.minimum(np.cumsum(mass, 0)[:-1], 1.0)
        return RandomLeadTimesParams(cdf[None].astype(np.float32), np.float32(0.0), np.float32(1.0))

    def _laws(self, name: str) -> list[Law]:
        """The law of each product at a node with demand."""
        given = self._nodes[name]["demand"]
        laws = list(given) if isinstance(given, (list, tuple)) else [given] * len(self.products)
        if len(laws) != len(self.products):
            raise UserError(
                f"node {name!r}: {len(laws)} laws of demand for {len(self.products)} products; give"
                " one of each"
            )
        if any(law is True for law in laws):
            raise UserError(
                f"node {name!r} has demand=True; give problem(demand=(process, numbers)) and "
                "typical_demand_units_per_period, or a law here"
            )
        return [law if isinstance(law, Law) else Law.parse(law) for law in laws]

    def _demand(self, before: int) -> tuple[Any, Any]:
        """The process that the laws of the nodes make together, and its numbers; `before`: periods
        of history.
        """
        laws = [
            self._laws(name) for name, spec in self._nodes.items() if spec.get("demand") is not None
        ]
        shape, flat = (len(laws), len(self.products)), [law for row in laws for law in row]
        if len(self.products) == 1:
            process, numbers = (
                independent(flat, before) if len(set(flat)) > 1 else flat[0].process(*shape, before)
            )
        elif all(law.name in WHOLE for law in flat):
            cdf = stack_tables([law.table() for law in flat])
            process, numbers = Tabulated(*shape), TableParams(cdf.reshape(len(cdf), *shape))
        elif len(set(flat)) == 1:
            process, numbers = flat[0].process(*shape, before)
        else:
            raise UserError(
                "laws of demand of several products must be on whole units, or one and the same;"
                " give problem(demand=…)"
            )
        return process, self._arrays.copies(numbers)

    def _typical(self, nodes) -> np.ndarray:
        """Mean demand a period that passes each node `[*instances, N, K]`: what is told of nodes
        with demand, or that of their laws, and what they draw on others; needed where a node tells
        none."""
        told = "typical_demand_units_per_period"
        own = np.zeros((*self._arrays.batch, len(nodes), len(self.products)))
        if all(told in spec for spec in nodes):
            return own
        for number, (name, spec) in enumerate(self._nodes.items()):
            if spec.get("demand") is not None:
                own[..., number, :] = (
                    spec[told] if told in spec else [law.average for law in self._laws(name)]
                )
        return np.einsum("nm,...mk->...nk", self.topology().echelon, own)


_QUOTED = Number("lead_time", per_product=False)


def _quoted(spec):
    """The lead time that is quoted for an edge: what it takes, or the mean of what it may take."""
    pmf = spec.get("lead_time_pmf")
    return (
        spec["lead_time_periods"] if pmf is None else float(np.arange(len(pmf)) @ np.asarray(pmf))
    )
