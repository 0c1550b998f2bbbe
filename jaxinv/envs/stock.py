"""On-hand stock within a period: it takes in arrivals, serves demand, takes back returns and ages.

Axes as in `jaxinv.envs.network`; stock is `[N, K]`, or `[N, K, A]` where goods age.
"""

import jax
import jax.numpy as jnp

from jaxinv.envs.shipping import ROUNDING
from jaxinv.envs.topology import add_rows
from jaxinv.errors import UserError


def receive(topology, stock, arrivals, params):
    """Adds arrivals `[N, K]`; where goods age, to the freshest age class of each product."""
    if topology.has("shelf_lives"):
        freshest = (
            params.shelf_life[..., None] - 1
        ) % topology.ages  # shelf life 0 means none: the last class
        return stock + jnp.where(jnp.arange(topology.ages) == freshest, arrivals[..., None], 0.0)
    return stock.at[..., -1].add(arrivals) if topology.ages > 1 else stock + arrivals


# Demand


def book(topology, demand, booked):
    """Demand to serve in this period `[N, K]`, and customer orders for the next period (None where
    no customers order ahead)."""
    if not topology.advance_nodes:
        return demand, None
    ahead = topology.among(topology.advance_nodes)
    return jnp.where(ahead, booked, demand), jnp.where(ahead, demand, 0.0)


def handed_over(topology, stock, demand, backorder):
    """Stock, where a delivery to a node without stock equals the open orders of its customers up to
    rounding: there it is set to exactly these orders.
    """
    if not topology.storeless:
        return stock
    wanted = demand if backorder is None else demand + backorder
    all_of_it = topology.among(topology.storeless) & (jnp.abs(stock - wanted) <= ROUNDING * wanted)
    return stock + jax.lax.stop_gradient(jnp.where(all_of_it, wanted - stock, 0.0))


def serve(topology, stock, demand, backorder):
    """Serves demand and backorders from stock.

    Returns:
      Stock left, units sold `[N, K]`, new demand not served `[N, K]`, and the new backorders (None:
      lost sales).
    """
    wanted = demand if backorder is None else demand + backorder
    if topology.ages == 1:
        sold = jnp.minimum(stock, wanted)
        left = stock - sold
    else:
        order = stock if topology.issuing == "oldest" else stock[..., ::-1]
        before = jnp.cumsum(order, -1) - order
        taken = jnp.clip(wanted[..., None] - before, 0.0, order)
        sold = jnp.minimum(
            stock.sum(-1), wanted
        )  # not the sum of `taken`, whose rounding would look like a shortage
        left = stock - (taken if topology.issuing == "oldest" else taken[..., ::-1])
    if backorder is None:
        return left, sold, wanted - sold, None
    owed = wanted - sold
    return left, sold, jnp.minimum(owed, demand), owed


def wait(topology, backorder, params):
    """Backorders `[N, K]` of the next period, when those who do not wait have left; None: lost
    sales.
    """
    return backorder * params.waiting_share if topology.has("waiting") else backorder


def goodwill_after(topology, goodwill, demand, waiting, params):
    """Goodwill `[N, K]` after a period in which `waiting` units were lost or backordered."""
    if not topology.has("goodwill"):
        return None
    enough = (
        params.goodwill_tolerance * demand
    )  # of what is unserved, for goodwill to decay in full
    unserved = jnp.where(
        enough > 0,
        jnp.minimum(waiting / jnp.where(enough > 0, enough, 1.0), 1.0),
        1.0 * (waiting > 0),
    )
    factor = params.goodwill_growth + unserved * (params.goodwill_decay - params.goodwill_growth)
    level = jnp.clip(goodwill * factor, params.goodwill_low, params.goodwill_high)
    return jnp.where(topology.among(topology.demand_nodes), level, goodwill)


# Returns


def take_back(topology, stock, demand, sold, sales, dispositions, params):
    """Returns of past sales (or a share of demand) are restocked, forwarded or liquidated: by the
    decided `dispositions` `[N, K, 3]`, or by the shares of the instance.

    Returns:
      Stock, the new sales record, returned `[N, K]` and liquidated `[N, K]` units.
    """
    nothing = jnp.zeros_like(sold)
    if dispositions is not None and not topology.has("dispositions"):
        raise UserError(
            "this network decides no dispositions: give orders alone, or the topology mechanism"
            " 'dispositions'"
        )
    if not topology.return_lags:
        return stock, None, nothing, nothing
    returned = coming_back(topology, demand, sales, params)
    restock, forward = params.restock_share, params.forward_share
    if dispositions is not None:
        restock, forward = feasible(topology, dispositions, restock, forward)
    if topology.storeless:  # there is no shelf to put it back on
        bare = topology.among(topology.storeless)
        restock, forward = (
            jnp.where(bare, 0.0, restock),
            jnp.where(bare, restock + forward, forward),
        )
    if topology.has("resaleable"):
        restock = restock * params.resaleable_share
        forward = forward * params.resaleable_share if topology.return_to else forward
    restocked = restock * returned
    if topology.return_to:
        forwarded = forward * returned
        put_back = restocked + add_rows(forwarded, topology.return_to, topology.nodes)
    else:
        forwarded, put_back = nothing, restocked
    if topology.returns_of == "sales":
        sales = jnp.concatenate([sold[..., None], sales[..., :-1]], -1)
    return (
        receive(topology, stock, put_back, params),
        sales,
        returned,
        returned - restocked - forwarded,
    )


def coming_back(topology, demand, sales, params):
    """Returned units of a period `[N, K]`: a share of past sales `[N, K, R]`, or of the demand of
    the period `[N, K]`.
    """
    if topology.returns_of == "demand":
        return params.return_share[..., 0] * demand
    # lag by lag: on CPU a reduction over so short an axis is a kernel of its own, and takes longer
    # than all the rest
    lags = range(topology.return_lags)
    return sum(params.return_share[..., lag] * sales[..., lag] for lag in lags)


def feasible(topology, dispositions, restock, forward):
    """The feasible shares `[N, K]` of returns to restock and to forward. Requested shares below 0,
    or NaN, count as 0, as does forwarding where there is no node to forward to; the three are
    scaled to the sum 1. Where all are 0, the shares of the instance hold.
    """
    wanted = jnp.where(dispositions > 0, dispositions, 0.0)
    if not topology.return_to:
        wanted = wanted * jnp.asarray([1.0, 0.0, 1.0])
    total = wanted.sum(-1)
    shares = wanted / jnp.where(total > 0, total, 1.0)[..., None]
    own = jnp.zeros_like(restock) if forward is None else forward
    return jnp.where(total > 0, shares[..., 0], restock), jnp.where(total > 0, shares[..., 1], own)


# Age


def age(topology, stock, params):
    """Goods grow one period older and the oldest class expires; products without a shelf life do
    not age.
    """
    if topology.ages == 1:
        return stock, jnp.zeros_like(stock)
    older, expired = (
        jnp.concatenate([stock[..., 1:], jnp.zeros_like(stock[..., :1])], -1),
        stock[..., 0],
    )
    if not topology.has("shelf_lives"):
        return older, expired
    ages = params.shelf_life > 0
    return jnp.where(ages[..., None], older, stock), jnp.where(ages, expired, 0.0)
