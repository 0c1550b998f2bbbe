"""What is known on the morning on which orders are placed."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxinv.envs.network import InstanceParams, NetworkState
from jaxinv.envs.problem import Problem


@dataclass(frozen=True, eq=False)
class Today:
    """S instances as they stand before the orders of a date; axes as in `jaxinv.envs.network`.

    Attributes:
      date: first day of the period that is decided now, datetime64[D].
      problem: the network and its labels `[S]`: a SKU on the whole network, or a SKU at a location where locations do not
        supply each other.
      plan: the plan that it was read from; None without one.
      state: of each instance, arrays with a leading axis `[S, ...]`, before the order of today.
      signals: `[S, W, C]` what policies see of the past, as `Observation.signals`.
      params: of the instances as of today `[S, ...]`; their demand is the past only.
      demand: `[S, T, D]` demand of the past periods, estimates where stock was out, NaN before a series begins.
      dates: `[T]` first days of these periods.
      known: `[S, T + H, C]` what is known ahead of each period, of the past and of H coming ones.
      open: `[E, H]` bool, in which coming periods each edge may order; index 0 is today's.
      period_days: days of a period.
      skus, places: SKU of each instance `[S]`, and names of the nodes `[N]`.
      edges: names of source and destination of each edge `[E]`.
    """

    date: np.datetime64
    problem: Problem
    plan: Any
    state: NetworkState
    signals: np.ndarray
    params: InstanceParams
    demand: np.ndarray
    dates: np.ndarray
    known: np.ndarray
    open: np.ndarray
    period_days: float
    skus: tuple[str, ...]
    places: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]
