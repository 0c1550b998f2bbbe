"""An independent simulator in plain Python and NumPy: one period of DESIGN section 4, written as
loops over nodes, edges and products in float64.

It shares nothing with `jaxinv.envs.network` but the names of a `Topology` and of the numbers.
Orders under way are kept as a list of shipments with the period in which they arrive, not as
pipeline slots, so that the two cannot share a mistake about time.
"""

from dataclasses import dataclass, field

import numpy as np

DUST = 1e-9
"""Stock below this is rounding, not goods."""

COSTS = (
    "holding",
    "shortage",
    "ordering",
    "transport",
    "duty",
    "returns",
    "expiry",
    "overflow",
    "revenue",
    "loss",
)


@dataclass
class Shipment:
    edge: int
    product: int
    quantity: float
    ordered_at: int
    arrives_at: int
    share: float = 1.0  # of the quantity that arrives


@dataclass
class Stock:
    """The whole physical state: goods by node, product and periods of life left; shipments; debts;
    past sales.
    """

    time: int
    goods: np.ndarray  # [N, K, A]; entry a has a + 1 periods to live, this one included
    shipments: list[Shipment] = field(default_factory=list)
    owed: np.ndarray | None = None  # [N, K]
    past_sales: list[np.ndarray] = field(default_factory=list)  # [N, K] each, latest first
    unshipped: np.ndarray | None = None  # [E, K] what source nodes owe each other
    slips: list[np.ndarray] = field(
        default_factory=list
    )  # [E, K] each, orders placed, the latest last
    goodwill: np.ndarray | None = None  # [N, K]
    order_book: dict[tuple[int, int], float] = field(
        default_factory=dict
    )  # (node, product) -> ordered a period ahead


@dataclass
class Period:
    """What happened."""

    by_node: dict[str, np.ndarray]  # [N] each
    by_edge: dict[str, np.ndarray]  # [E] each
    ordered: np.ndarray
    demand: np.ndarray
    sold: np.ndarray
    short: np.ndarray
    on_hand: np.ndarray
    expired: np.ndarray
    returned: np.ndarray
    liquidated: np.ndarray
    lost: np.ndarray
    margin: float  # how far every rounding decision was from going the other way

    @property
    def costs(self) -> dict[str, float]:
        """Costs by name."""
        return {
            name: float(self.by_node[name].sum() + self.by_edge[name].sum())
            for name in self.by_node
        }


class Reference:
    """Simulates one instance.

    Args:
      topology: a `jaxinv.envs.topology.Topology`; only its plain fields are read.
      numbers: the instance's numbers as NumPy arrays by name.
    """

    def __init__(self, topology, numbers: dict[str, np.ndarray]):
        self.net = topology
        self.numbers = numbers
        self.margin = np.inf

    def play(
        self,
        stock: Stock,
        action,
        demand,
        lead_time=None,
        price=None,
        dispositions=None,
        arrival=None,
    ) -> Period:
        """One period; changes `stock` in place.

        Args:
          action: `[E, K]`. demand: `[D, K]`. lead_time: `[E]` where random. price: `[N, K]` where
            it moves.
          dispositions: `[N, K, 3]` where they are decided. arrival: `[E]` where not all arrives.
        """
        net, numbers = self.net, self.numbers
        self.margin = np.inf
        leads = net.lead_times if lead_time is None else [int(lead) for lead in lead_time]
        ordered = self.ship(stock, self.place(stock, np.array(action, float)))
        scrapped = np.zeros_like(ordered)
        for edge in range(net.edges):
            for product in range(net.products):
                quantity = ordered[edge, product]
                needed = quantity / self.yield_of(edge)
                scrapped[edge, product] = needed - quantity
                if net.sources[edge] >= 0:
                    self.take(stock.goods[net.sources[edge], product], needed, "oldest")
                due = stock.time + leads[edge]
                share = 1.0 if arrival is None else float(arrival[edge])
                stock.shipments.append(Shipment(edge, product, quantity, stock.time, due, share))
        lost = scrapped + self.receive(stock, stock.time)

        sold = np.zeros((net.nodes, net.products))
        short = np.zeros_like(sold)
        asked = np.zeros_like(sold)
        for place, node in enumerate(net.demand_nodes):
            for product in range(net.products):
                wanted = float(demand[place, product])
                shelf = stock.goods[node, product]
                if net.has("goodwill"):
                    wanted *= stock.goodwill[node, product]
                if node in net.advance_nodes:  # today's orders are tomorrow's demand
                    wanted, stock.order_book[node, product] = (
                        stock.order_book[node, product],
                        wanted,
                    )
                if net.has("goodwill"):
                    self.near(
                        shelf.sum() - wanted - (stock.owed[node, product] if net.backlog else 0.0)
                    )
                asked[node, product] = wanted
                if net.backlog:  # who waits is served first
                    paid_back = self.take(shelf, stock.owed[node, product], net.issuing)
                    stock.owed[node, product] -= paid_back
                    sold[node, product] += paid_back
                served = self.take(shelf, wanted, net.issuing)
                sold[node, product] += served
                short[node, product] = wanted - served
                if net.backlog:
                    stock.owed[node, product] += wanted - served

        if net.has("goodwill"):
            self.move_goodwill(stock, asked, stock.owed if net.backlog else short)
        returned = np.zeros_like(sold)
        liquidated = np.zeros_like(sold)
        if net.return_lags:
            self.take_back(stock, asked, returned, liquidated, dispositions)
            stock.past_sales = [sold.copy(), *stock.past_sales[: net.return_lags - 1]]

        on_hand = stock.goods.sum(-1)
        at, on = self.cost(stock, ordered, sold, short, on_hand, returned, liquidated, price)
        expired = np.zeros_like(sold)
        if net.ages > 1:
            for node in range(net.nodes):
                for product in range(net.products):
                    shelf = stock.goods[node, product]
                    if net.has("shelf_lives") and numbers["shelf_life"][node, product] == 0:
                        continue  # it keeps for ever
                    expired[node, product] = shelf[0]
                    shelf[:-1] = shelf[1:].copy()
                    shelf[-1] = 0.0
            at["expiry"] = (numbers["expiry_cost"] * expired).sum(1)
        if net.has("waiting"):
            stock.owed = stock.owed * numbers["waiting_share"]
        stock.time += 1
        if not net.has("orders_first"):
            lost = lost + self.receive(stock, stock.time)
        if net.has("loss_cost"):
            on["loss"] = (numbers["loss_cost"] * lost).sum(1)
        return Period(
            at,
            on,
            ordered,
            asked,
            sold,
            short,
            on_hand,
            expired,
            returned,
            liquidated,
            lost,
            self.margin,
        )

    # Orders

    def place(self, stock: Stock, wish: np.ndarray) -> np.ndarray:
        """The orders `[E, K]` that reach their source now, after post-processing of those that are
        placed now.
        """
        net, numbers = self.net, self.numbers
        order = np.maximum(wish, 0.0)
        for edge in range(net.edges):
            if net.has("review") and stock.time % int(numbers["review_period"][edge]) != 0:
                order[edge] = 0.0
            if (
                net.has("calendar")
                and not numbers["order_days"][stock.time % len(numbers["order_days"]), edge]
            ):
                order[edge] = 0.0
            for product in range(net.products):
                order[edge, product] = self.whole_packs(
                    edge, product, order[edge, product], nearest=True
                )
                if net.has("minimum_order"):
                    least = self.least(edge, product)
                    if order[edge, product] < 0.5 * least:
                        order[edge, product] = 0.0
                    elif order[edge, product] < least:
                        order[edge, product] = least
        if not net.order_memory:
            return order
        stock.slips.append(order)
        delays = net.order_delays or (0,) * net.edges
        return np.stack([stock.slips[-1 - delay][edge] for edge, delay in enumerate(delays)])

    def ship(self, stock: Stock, order: np.ndarray) -> np.ndarray:
        """What is really shipped `[E, K]`; what source nodes owe comes first and stays where it
        cannot be shipped.
        """
        net, numbers = self.net, self.numbers
        order = order.copy()
        if net.internal_backlog:
            order += stock.unshipped
            asked = order.copy()
        cut = False
        for node in net.storeless:
            cut = True
            for product in range(net.products):
                waiting = stock.order_book[node, product] + (
                    stock.owed[node, product] if net.backlog else 0.0
                )
                into = [edge for edge in range(net.edges) if net.destinations[edge] == node]
                sent = sum(order[edge, product] for edge in into)
                for edge in into:
                    order[edge, product] *= min(1.0, waiting / sent) if sent else 1.0
        if net.has("order_limit"):
            cut = True
            for edge in range(net.edges):
                load = sum(order[edge, k] * numbers["volume"][k] for k in range(net.products))
                if load > numbers["order_limit"][edge]:
                    order[edge] *= numbers["order_limit"][edge] / load
        if net.has("budget"):
            cut = True
            bought = [edge for edge in range(net.edges) if net.sources[edge] < 0]
            bill = sum(float(order[edge] @ numbers["unit_cost"][edge]) for edge in bought)
            if bill > numbers["budget"]:
                for edge in bought:
                    order[edge] *= numbers["budget"] / bill
        if net.has("shipping_capacity"):
            for node in range(net.nodes):
                leaving = [edge for edge in range(net.edges) if net.sources[edge] == node]
                load = np.array([[order[edge] @ numbers["volume"]] for edge in range(net.edges)])
                granted = load.copy()
                self.ration(granted, leaving, 0, numbers["shipping_capacity"][node])
                for edge in leaving:
                    if granted[edge, 0] < load[edge, 0]:
                        order[edge] *= granted[edge, 0] / load[edge, 0]
        allowed = order.copy()
        for node in range(net.nodes):
            leaving = [edge for edge in range(net.edges) if net.sources[edge] == node]
            cut = cut or bool(leaving)
            for product in range(net.products):
                need = np.array(
                    [[order[edge, product] / self.yield_of(edge)] for edge in range(net.edges)]
                )
                granted = need.copy()
                self.ration(granted, leaving, 0, stock.goods[node, product].sum())
                for edge in leaving:
                    if granted[edge, 0] < need[edge, 0]:
                        order[edge, product] = granted[edge, 0] * self.yield_of(edge)
        if any(source >= 0 for source in net.sources) or cut:
            for edge in range(net.edges):
                for product in range(net.products):
                    order[edge, product] = self.whole_packs(
                        edge, product, order[edge, product], nearest=False
                    )
            if net.has("packs"):
                self.last_packs(stock, order, allowed)
            for edge in range(net.edges):
                for product in range(net.products):
                    quantity = order[edge, product]
                    if net.has("minimum_order") and 0 < quantity:
                        least = self.least(edge, product)
                        if abs(quantity - least) > DUST:
                            self.near(quantity - least)
                        if quantity < least - DUST:
                            order[edge, product] = 0.0
        if net.internal_backlog:
            for edge in range(net.edges):
                for product in range(net.products):
                    missing = asked[edge, product] - order[edge, product]
                    stock.unshipped[edge, product] = (
                        missing if net.sources[edge] >= 0 and missing > DUST else 0.0
                    )
        return order

    def last_packs(self, stock: Stock, order: np.ndarray, allowed: np.ndarray) -> None:
        """Hands out whole packs that rounding left at a node, one at most to each edge, to the one
        that lacks most first.
        """
        net = self.net
        for node in range(net.nodes):
            leaving = [edge for edge in range(net.edges) if net.sources[edge] == node]
            for product in range(net.products):
                left = stock.goods[node, product].sum()
                left -= sum(order[edge, product] / self.yield_of(edge) for edge in leaving)
                gaps = {edge: allowed[edge, product] - order[edge, product] for edge in leaving}
                blocked = 0.0  # what those who come first need, whether they got it or not
                for one in leaving:
                    for other in leaving:
                        if abs(gaps[one] - gaps[other]) > DUST:
                            self.near(gaps[one] - gaps[other])
                for edge in sorted(
                    leaving, key=lambda edge: -round(gaps[edge], 9)
                ):  # a stable sort: first edges first
                    pack = self.numbers["pack_size"][edge, product]
                    if abs(gaps[edge] - pack) > DUST:
                        self.near(gaps[edge] - pack)
                    if gaps[edge] < pack - DUST:
                        continue
                    need = pack / self.yield_of(edge)
                    blocked += need
                    if abs(left - blocked) > DUST:
                        self.near(left - blocked)
                    if left >= blocked - DUST:
                        order[edge, product] += pack

    def yield_of(self, edge: int) -> float:
        """Units shipped for each that is taken from the source."""
        return (
            float(self.numbers["processing_yield"][edge])
            if self.net.has("processing_yield")
            else 1.0
        )

    def move_goodwill(self, stock: Stock, asked: np.ndarray, waiting: np.ndarray) -> None:
        """Those who are served come back with more, the others with less."""
        numbers = self.numbers
        for node in self.net.demand_nodes:
            for product in range(self.net.products):
                enough = numbers["goodwill_tolerance"][node, product] * asked[node, product]
                unhappy = float(waiting[node, product] > 0)
                if enough > 0:
                    unhappy = min(waiting[node, product] / enough, 1.0)
                growth, decay = (
                    numbers[f"goodwill_{name}"][node, product] for name in ("growth", "decay")
                )
                level = stock.goodwill[node, product] * ((1 - unhappy) * growth + unhappy * decay)
                level = max(level, numbers["goodwill_low"][node, product])
                stock.goodwill[node, product] = min(level, numbers["goodwill_high"][node, product])

    def least(self, edge: int, product: int) -> float:
        """The smallest order that satisfies both the minimum and whole packs."""
        least = self.numbers["minimum_order"][edge, product]
        if self.net.has("packs"):
            pack = self.numbers["pack_size"][edge, product]
            least = pack * np.ceil(least / pack - DUST)
        return float(least)

    def whole_packs(self, edge: int, product: int, quantity: float, nearest: bool) -> float:
        if not self.net.has("packs"):
            return quantity
        pack = self.numbers["pack_size"][edge, product]
        packs = quantity / pack
        if nearest:
            return pack * float(
                np.round(packs)
            )  # action data are exact in binary, so halves are halves
        if abs(packs - round(packs)) > DUST:
            self.near(abs(packs - round(packs)))
        return pack * float(np.floor(packs + DUST))

    def near(self, distance: float) -> None:
        self.margin = min(self.margin, abs(distance))

    def ration(self, order: np.ndarray, leaving: list[int], product: int, available: float) -> None:
        wanted = sum(order[edge, product] for edge in leaving)
        if wanted <= available:
            return
        if self.net.rationing == "proportional":
            for edge in leaving:
                order[edge, product] *= available / wanted
        elif (
            self.net.rationing == "equal_shortage"
        ):  # all lack the same, but none more than it asked for
            missing = wanted - available
            while missing > DUST:
                asking = [edge for edge in leaving if order[edge, product] > DUST]
                each = min(missing / len(asking), *(order[edge, product] for edge in asking))
                for edge in asking:
                    order[edge, product] -= each
                missing -= each * len(asking)
            for edge in leaving:
                if order[edge, product] > DUST:
                    self.near(order[edge, product])
                else:
                    order[edge, product] = 0.0
        else:
            for edge in leaving:
                order[edge, product] = min(order[edge, product], available)
                available -= order[edge, product]

    # Goods

    @staticmethod
    def take(shelf: np.ndarray, wanted: float, issuing: str) -> float:
        """Takes up to `wanted` units off a shelf `[A]`, and says how many."""
        taken = 0.0
        classes = range(len(shelf)) if issuing == "oldest" else reversed(range(len(shelf)))
        for age in classes:
            units = min(shelf[age], wanted - taken)
            shelf[age] -= units
            taken += units
            if shelf[age] < DUST:
                shelf[age] = 0.0
        return taken

    def receive(self, stock: Stock, now: int) -> np.ndarray:
        """Puts what arrives now on the shelves, with its whole life before it, and says what does
        not `[E, K]`.
        """
        lost = np.zeros((self.net.edges, self.net.products))
        for shipment in stock.shipments:
            if shipment.arrives_at == now:
                units = shipment.quantity * shipment.share
                if self.net.has("arrivals") and self.net.has("packs"):
                    nearest = float(np.round(units))
                    if abs(abs(units - np.floor(units)) - 0.5) > DUST:
                        self.near(abs(units - np.floor(units)) - 0.5)
                    units = min(nearest, shipment.quantity)
                self.put(stock, self.net.destinations[shipment.edge], shipment.product, units)
                lost[shipment.edge, shipment.product] += shipment.quantity - units
        stock.shipments = [shipment for shipment in stock.shipments if shipment.arrives_at > now]
        return lost

    def take_back(
        self, stock: Stock, asked, returned: np.ndarray, liquidated: np.ndarray, dispositions
    ) -> None:
        net, numbers = self.net, self.numbers
        put_back = np.zeros_like(returned)
        for node in range(net.nodes):
            for product in range(net.products):
                past = [asked] if net.returns_of == "demand" else stock.past_sales
                for lag, units in enumerate(past):
                    returned[node, product] += (
                        numbers["return_share"][node, product, lag] * units[node, product]
                    )
                back = returned[node, product]
                good = back * (
                    numbers["resaleable_share"][node, product] if net.has("resaleable") else 1.0
                )
                here, on = self.shares(node, product, dispositions)
                if node in net.storeless:
                    here, on = 0.0, here + on
                here, on = here * good, on * good
                put_back[node, product] += here
                if net.return_to:
                    put_back[net.return_to[node], product] += on
                liquidated[node, product] = back - here - on
        for node in range(net.nodes):
            for product in range(net.products):
                self.put(stock, node, product, put_back[node, product])

    def put(self, stock: Stock, node: int, product: int, units: float) -> None:
        """Puts fresh goods on a shelf; what keeps for ever lies where the goods with the longest
        life do.
        """
        life = self.net.ages
        if self.net.has("shelf_lives"):
            life = int(self.numbers["shelf_life"][node, product]) or self.net.ages
        stock.goods[node, product, life - 1] += units

    def shares(self, node: int, product: int, dispositions) -> tuple[float, float]:
        """Which shares of what comes back are put on the shelf here, and sent on."""
        if dispositions is not None:
            here, on, rest = (max(float(share), 0.0) for share in dispositions[node, product])
            on = on if self.net.return_to else 0.0
            if here + on + rest > 0:
                return here / (here + on + rest), on / (here + on + rest)
        on = self.numbers["forward_share"][node, product] if self.net.return_to else 0.0
        return self.numbers["restock_share"][node, product], on

    # Money

    def cost(self, stock, ordered, sold, short, on_hand, returned, liquidated, price):
        """Costs by name, of each node and of each edge; expiry is added by the caller, after goods
        have aged.
        """
        net, numbers = self.net, self.numbers
        at = {name: np.zeros(net.nodes) for name in COSTS}
        on = {name: np.zeros(net.edges) for name in COSTS}
        for node in range(net.nodes):
            load = 0.0
            for k in range(net.products):
                at["holding"][node] += numbers["holding"][node, k] * on_hand[node, k]
                waiting = stock.owed[node, k] if net.backlog else short[node, k]
                if net.internal_backlog:
                    waiting += sum(
                        stock.unshipped[e, k] for e in range(net.edges) if net.sources[e] == node
                    )
                at["shortage"][node] += numbers["shortage"][node, k] * waiting
                if net.has("revenue"):
                    at["revenue"][node] -= (numbers["price"] if price is None else price)[
                        node, k
                    ] * sold[node, k]
                if net.has("capacity"):
                    load += on_hand[node, k] * numbers["volume"][k]
                if net.return_lags:
                    at["returns"][node] += numbers["return_cost"][node, k] * returned[node, k]
                    at["returns"][node] -= (
                        numbers["liquidation_value"][node, k] * liquidated[node, k]
                    )
            if net.has("capacity") and load > numbers["capacity"][node]:
                at["overflow"][node] += numbers["overflow_cost"][node] * (
                    load - numbers["capacity"][node]
                )
            if net.return_lags and returned[node].sum() > 1e-6:  # less is rounding
                at["returns"][node] += numbers["return_fixed_cost"][node]
        for edge in range(net.edges):
            for k in range(net.products):
                quantity = ordered[edge, k]
                if net.has("unit_cost"):
                    on["ordering"][edge] += numbers["unit_cost"][edge, k] * quantity
                if net.has("fixed_cost") and quantity > 0:
                    on["ordering"][edge] += numbers["fixed_cost"][edge, k]
                if net.has("duty"):
                    on["duty"][edge] += numbers["duty"][edge, k] * quantity
            if net.has("freight"):
                on["transport"][edge] += self.freight(edge, ordered[edge].sum())
        if net.has("transit_holding"):
            for shipment in stock.shipments:  # what arrives next period is still on its way
                on["holding"][shipment.edge] += (
                    numbers["transit_holding"][shipment.edge, shipment.product] * shipment.quantity
                )
        return at, on

    def freight(self, edge: int, quantity: float) -> float:
        """A fixed amount for a shipment, and each tier's rate for the units that fall into it."""
        if quantity <= 0:
            return 0.0
        starts = self.numbers["freight_breaks"][edge]
        bill = float(self.numbers["freight_fixed"][edge])
        for tier, start in enumerate(starts):
            end = starts[tier + 1] if tier + 1 < len(starts) else np.inf
            bill += self.numbers["freight_rates"][edge, tier] * max(min(quantity, end) - start, 0.0)
        return bill
