"""Real sales in a network: several warehouses supply many stores, every SKU an instance of its own."""

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.data import FAVORITA_SPLIT, Panel
from jaxinv.demand.exogenous import World
from jaxinv.demand.processes import Replay
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.problem import Preset, Problem, Shared, not_negative, positive, weight_vector
from jaxinv.envs.retail import check_lengths, check_range, check_validation, known_covariates, read_sales, set_aside, trace_until
from jaxinv.envs.topology import SUPPLIER, Topology
from jaxinv.errors import UserError
from jaxinv.keys import Role, generator, instance_generator

FAVORITA_LEAD_TIMES = (
    (6, 6, 6, 6, 6, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 5, 5),
    (1, 1, 1, 1, 1, 2, 2, 2, 1, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 2),
    (5, 5, 5, 5, 4, 6, 5, 5, 5, 5, 5, 6, 5, 6, 5, 5, 5, 5, 5, 4, 5),
)
"""Weeks from each of three warehouses to each of 21 stores (Alvo et al. 2306.11246, the published settings)."""

FAVORITA_LINKS = (
    "111011111111110111111",
    "111110111100001111111",
    "111111111110111111111",
)
"""Which stores each warehouse supplies, 1 where it does (same source)."""


@dataclass(frozen=True, kw_only=True)
class RetailNetwork(Preset):
    """Warehouses that supply the stores of a sales table; lost sales, profit as the goal.

    The defaults are the three warehouses and 21 Favorita stores of Alvo et al. (2306.11246): links, lead times, warehouse
    holding costs and purchase costs are as published; a store's holding cost and the price of each SKU in each store are
    drawn uniformly from the published ranges with `instance_seed`, for the published draws are not public. What they call
    the edge cost of a warehouse is taken as what it pays its supplier for a unit.

    Attributes:
      data, reader, columns, known_ahead, frequency, train, published_split, max_series, validation, level_spread: see
        `jaxinv.envs.retail.Retail`; a series here is an SKU, with all its stores.
      links: one word a warehouse, with a 1 for each store that it supplies, and a 0 for others.
      lead_times: periods from each warehouse to each store.
      warehouse_lead_time: periods from the supplier to each warehouse.
      warehouse_holding_costs, purchase_costs: money per unit and period held, and per unit bought, of each warehouse.
      store_holding_cost, price: ends of the laws that are drawn from, money per unit.
    """

    data: str = ""
    reader: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    known_ahead: tuple[str, ...] = ()
    frequency: str = "week"
    links: tuple[str, ...] = FAVORITA_LINKS
    lead_times: tuple[tuple[int, ...], ...] = FAVORITA_LEAD_TIMES
    warehouse_lead_time: int = 3
    warehouse_holding_costs: tuple[float, ...] = (0.3, 0.4, 0.2)
    purchase_costs: tuple[float, ...] = (0.5, 1.5, 0.7)
    store_holding_cost: tuple[float, ...] = (0.7, 1.3)
    price: tuple[float, ...] = (6.3, 11.7)
    train: float = 0.7
    published_split: bool = False
    max_series: int = 0
    instance_seed: int = 0
    validation: float = 0.2
    level_spread: float = 0.3
    horizon: int = 40
    history: int = 16
    integer_orders: bool = False

    def __post_init__(self):
        super().__post_init__()
        not_negative(self, "warehouse_lead_time", "warehouse_holding_costs", "purchase_costs", "max_series", "level_spread")
        not_negative(self, "store_holding_cost", "price")
        positive(self, "horizon")
        check_validation(self)
        check_range("price", self.price)
        check_range("store_holding_cost", self.store_holding_cost)
        warehouses = len(self.links)
        for name in ("lead_times", "warehouse_holding_costs", "purchase_costs"):
            if len(getattr(self, name)) != warehouses:
                raise UserError(f"{warehouses} links but {len(getattr(self, name))} {name}; give one per warehouse")
        stores = len(self.links[0]) if self.links else 0
        if any(len(row) != stores or set(row) - {"0", "1"} for row in self.links):
            raise UserError(f"links={self.links}: give one 0 or 1 for each store, and a word as long for each warehouse")
        if any(len(row) != stores for row in self.lead_times):
            raise UserError(f"lead_times need one entry for each of {stores} stores and each warehouse")
        for store in range(stores):
            if all(row[store] == "0" for row in self.links):
                raise UserError(f"no warehouse supplies store {store}; give one of the links a 1 there")

    def build(self) -> Problem:
        if not self.data:
            raise UserError("retail_network needs data=FILE, a table of sales with locations; see the README for its columns")
        panel = Panel.from_table(read_sales(self), self.frequency or None)
        split = FAVORITA_SPLIT if self.published_split else panel.split_by_time(self.train)
        panel.check_sold(split)
        topology = self._topology()
        warm_up = max(split.warm_up, topology.max_lead_time + self.warehouse_lead_time + 4)
        check_lengths(self, panel, split, warm_up)
        sales, labels, covariates = self._by_sku(panel, split.train)  # [S, stores, T], [S, T, C]
        skus, stores, _ = sales.shape
        draw = instance_generator(self.instance_seed)
        holding = np.concatenate([self.warehouse_holding_costs, draw.uniform(*self.store_holding_cost, stores)])
        price = np.pad(draw.uniform(*self.price, (skus, stores)), ((0, 0), (len(self.links), 0)))
        local = np.maximum(sales[..., split.train].mean(-1), 1e-2)
        scale = np.pad(local, ((0, 0), (len(self.links), 0))) @ topology.echelon.T  # [S, N]
        into = scale[:, list(topology.destinations)]
        lead = np.asarray(topology.lead_times, float)
        held_out = set_aside(draw, skus, self.validation)
        entering = np.bincount(topology.destinations, minlength=topology.nodes)  # suppliers of a node share what it needs
        cover = scale * np.array([lead[np.asarray(topology.destinations) == node].max() for node in range(topology.nodes)])

        def stacked(values, *shape):
            """Numbers of every SKU, the same for all or one row a SKU, as `[S, ..., 1]`."""
            return jnp.asarray(np.broadcast_to(values, (skus, *shape))[..., None], jnp.float32)

        trace = partial(trace_until, np.moveaxis(sales, 2, 1)[..., None].astype(np.float32), covariates)
        train = InstanceParams(
            max_steps_in_episode=jnp.full(skus, self.horizon, jnp.int32),
            holding=stacked(holding, topology.nodes),
            shortage=stacked(0.0, topology.nodes),
            price=stacked(price, topology.nodes),
            weights=jnp.tile(weight_vector(self.weights, topology), (skus, 1)),
            scale=stacked(scale, topology.nodes),
            initial_low=stacked(0.3 * cover, topology.nodes),
            initial_high=stacked(1.3 * cover, topology.nodes),
            initial_pipeline=stacked(into / entering[list(topology.destinations)], topology.edges),
            lead_time=jnp.tile(jnp.asarray(lead, jnp.float32), (skus, 1)),
            max_order=stacked(4 * into * (lead + 1), topology.edges),
            unit_cost=stacked(np.pad(self.purchase_costs, (0, topology.edges - len(self.links))), topology.edges),
            pack_size=jnp.ones((skus, topology.edges, 1)) if self.integer_orders else None,
            # the training trace ends where training ends: what comes after cannot leak because it is not there
            demand=trace(split.train.stop, 0, split.train.stop - self.history - self.horizon - 1, self.level_spread),
        )
        scored = split.scored("test")
        start = scored.start - warm_up - self.history
        test = train.replace(
            initial_low=stacked(cover, topology.nodes),
            initial_high=stacked(cover, topology.nodes),
            demand=trace(scored.stop, start, start, 0.0),
        )
        world = World(Replay(locations=stores, known_covariates=covariates.shape[-1]))
        first = jax.tree.map(lambda leaf: leaf[0], train)  # the environment by itself is that of one SKU
        return Problem(
            env=InventoryNetwork(topology, world, first, self.history, "retail_network"),
            train=train,
            test=test,
            instances=skus,
            shared=Shared.of(panel.frequency),
            test_periods=warm_up + scored.stop - scored.start,
            warm_up=warm_up,
            periods_per_year=panel.periods_per_year,
            notes=panel.notes,
            labels=labels,
            held_out=held_out,
        )

    def _topology(self) -> Topology:
        warehouses, stores = len(self.links), len(self.links[0])
        pairs = [(w, store) for w in range(warehouses) for store in range(stores) if self.links[w][store] == "1"]
        return Topology(
            nodes=warehouses + stores,
            sources=(*(SUPPLIER,) * warehouses, *(w for w, _ in pairs)),
            destinations=(*range(warehouses), *(warehouses + store for _, store in pairs)),
            demand_nodes=tuple(range(warehouses, warehouses + stores)),
            lead_times=(*(self.warehouse_lead_time,) * warehouses, *(self.lead_times[w][store] for w, store in pairs)),
            mechanisms=frozenset({"unit_cost", "revenue"} | ({"packs"} if self.integer_orders else set())),
            node_names=(*(f"warehouse {w}" for w in range(warehouses)), *(f"store {store}" for store in range(stores))),
        )

    def _by_sku(self, panel: Panel, train: slice) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
        """Sales `[S, stores, T]` of the SKUs that every store has, their names, and covariates `[S, T, C]`."""
        if "location" not in panel.series:
            raise UserError("retail_network needs a table with a column location: which store sold what")
        stores = sorted(panel.series["location"].unique(), key=lambda name: (len(str(name)), str(name)))
        if len(stores) != len(self.links[0]):
            raise UserError(f"the table has {len(stores)} locations and links name {len(self.links[0])}; give one 0 or 1 each")
        rows = panel.series.reset_index().pivot(index="sku", columns="location", values="index")[stores].dropna().astype(int)
        if rows.empty:
            raise UserError("no SKU is sold in every location of the table")
        if self.max_series and len(rows) > self.max_series:
            chosen = generator(Role.SERIES, self.instance_seed).choice(len(rows), self.max_series, replace=False)
            rows = rows.iloc[np.sort(chosen)]
        covariates = known_covariates(panel, train)[rows.iloc[:, 0].to_numpy()]
        return panel.sales[rows.to_numpy()].astype(np.float64), tuple(map(str, rows.index)), covariates
