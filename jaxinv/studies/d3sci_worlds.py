"""The data sets of the tables of seed 000 as stores to order for, and how large a study is.

No set has lead times, costs or the effect of an order in it (methods D.1, row 18), so a simulator
is unavoidable: every series is a store with one supplier and lost sales (`jaxinv.envs.retail`).
Holding the mean demand for a period costs 1, losing it 4. Equation 13 counts units ordered too: at
a unit cost c, and a stock-out at p + c, since what is sold was ordered, so that the two agree on
what is better but for goods that are left.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from jaxinv.data.readers import source_of
from jaxinv.envs.problem import Problem
from jaxinv.envs.retail import Retail

UNIT_COST = 1.0
"""c of equation 13: what a unit costs, in what it costs to hold it for a period."""


@dataclass(frozen=True)
class Size:
    """How large a study is.

    Attributes:
      seeds: trainings of each method, side by side in one program.
      trials: learning rates that each learner is tried with, the same number for all.
      series: most series of a data set.
      shorter: a training has the updates that suit the learner, divided by this.
      envs: most environments of a training.
      tune_periods: simulated periods that each classical rule is tuned with.
    """

    seeds: int = 10
    trials: int = 8
    series: int = 512
    shorter: int = 1
    envs: int = 128
    tune_periods: int = 4_000_000


FULL = Size()
QUICK = Size(seeds=3, trials=1, series=12, shorter=4, envs=16, tune_periods=200_000)


@dataclass(frozen=True)
class Source:
    """A data set of the tables.

    Attributes:
      title: as rows call it.
      options: of `Retail`.
    """

    title: str
    options: Mapping[str, Any] = field(default_factory=dict)


_ROCKET = dict(
    reader="retailrocket_behaviour", frequency="day", train=0.8, lead_time=3, history=14, horizon=28
)
SOURCES = {
    "retailrocket_partial": Source("Retailrocket", _ROCKET),
    "retailrocket_behaviour": Source("Retailrocket", _ROCKET),
    # the paper augments this one: levels of training episodes are spread (`level_spread`)
    "retail_store_inventory": Source(
        "Retail Store Inventory",
        dict(frequency="day", train=0.7, lead_time=3, history=14, horizon=40),
    ),
    # lead times as fitted to real cross-border shipments by air
    "online_retail": Source(
        "Online Retail", dict(lead_time=2, lead_time_law="air", history=13, horizon=26)
    ),
    "favorita_weekly_21_stores": Source(
        "Favorita", dict(lead_time=4, history=16, horizon=40, integer_orders=False)
    ),
}
"""By reader of the file: two data sets of the paper, and two of ours."""

OTHER = dict(history=13, horizon=26)
"""Options of any other sales."""


class DataSet(NamedTuple):
    """A data set of a study."""

    title: str
    problem: Problem
    options: dict[str, Any]


def data_set(path: str, size: Size) -> DataSet:
    """The store of every series of a file or folder of sales.

    Raises:
      UserError: no sales can be read from it.
    """
    reader, file = source_of(path)
    source = SOURCES.get(reader, Source(Path(path).name.partition(".")[0], OTHER))
    options = {"data": str(file), "max_series": size.series, **source.options}
    return DataSet(source.title, Retail(**options).build(), options)
