"""InventoryBench: 1320 public instances of a single store, and what policies score on them.

    python -m jaxinv.reproduce inventorybench FILE

The file is a list of instances as JSON (also `.json.gz`). The contract is the benchmark's: stock 0
and nothing on order at the start; a period orders whole units, receives what is due, serves demand
and loses the rest; it earns `p` a unit sold and pays `h` a unit left. The score of an instance is
what is earned as a share of `p` times all demand, at least 0; that of a set is the mean. Realised
lead times are not seen before arrival, and orders may never come.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.demand.arrivals import ArrivalLaw
from jaxinv.demand.exogenous import Exogenous, RandomLeadTimesParams
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.unseen import store
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH, batch_last, rollout
from jaxinv.evaluation.statistics import mean_of
from jaxinv.policies.policy import Policy
from jaxinv.policies.ready import ready_policy
from jaxinv.policies.relative import WINDOW
from jaxinv.studies.rows import row

KNOWN = 5
"""Periods of demand that are known before the first order."""

LAWS = {
    "lead_time_0": ((1.0,), 1.0),
    "lead_time_4": ((0.0, 0.0, 0.0, 0.0, 1.0), 1.0),
    "lead_time_stochastic": ((0.0, 1 / 3, 1 / 3, 1 / 3), 0.75),
}
"""By folder of the benchmark: probabilities of each lead time, and that an order comes at all."""

IN_PRINT = {"real": 0.468, "synthetic": 0.596, "all": 0.538}
"""Scores of the best published entry over all 1320 instances, by family: a rule that is steered by
a language model. Capped base-stock has 0.445 over all.
"""


@dataclass(frozen=True)
class Instance:
    """One instance: demand of the known and of the played periods, and what orders take."""

    path: str
    demand: np.ndarray  # [KNOWN + T]
    lead_time: np.ndarray  # [T] of an order placed in each period; NaN: it never arrives
    profit: float
    holding: float

    @property
    def periods(self) -> int:
        return len(self.lead_time)

    @property
    def kind(self) -> str:
        return next(name for name in LAWS if f"/{name}/" in f"/{self.path}/")

    @property
    def family(self) -> str:
        return self.path.split("/")[0]


def run(quick: bool = False, parts: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`): all instances, then by family and law of lead times.

    Args:
      parts: the file.
    """
    if len(parts) != 1:
        raise UserError("name the file of InventoryBench: reproduce inventorybench FILE")
    instances = read(parts[0])
    instances = instances[:: 10 if quick else 1]
    scores = of_all(instances)
    families = np.array([one.family.partition("_")[0] for one in instances])
    kinds = np.array([one.kind for one in instances])

    def told(name, mine, reference):
        found = mean_of(scores[mine], ("instances",))
        holds = None if reference is None else found.low > reference
        what = f"inventorybench, {name} ({mine.sum()} instances): mean score of the ready policy"
        source = "" if reference is None else "best published entry, over all 1320 instances"
        return row(what, found, holds=holds, reference=reference, source=source)

    yield told("all instances", np.ones(len(scores), bool), IN_PRINT["all"])
    for family in np.unique(families):
        yield told(family, families == family, IN_PRINT.get(family))
    for kind in LAWS:
        if (kinds == kind).any():
            yield told(kind, kinds == kind, None)


def of_all(instances: Sequence[Instance], player: Any = None) -> np.ndarray:
    """Scores `[I]` of instances of any lengths.

    Args:
      player: from an environment to a policy and its parameters; the ready policy where not given.
    """
    scores = np.zeros(len(instances))
    for periods in sorted({one.periods for one in instances}):
        index = [number for number, one in enumerate(instances) if one.periods == periods]
        group = [instances[number] for number in index]
        env = world_of(group)
        policy, numbers = (player or ready_policy)(env)
        scores[index] = score(policy, numbers, env, group)[0]
    return scores


def score(
    policy: Policy, numbers: Any, env: InventoryNetwork, instances: Sequence[Instance]
) -> tuple[np.ndarray, np.ndarray]:
    """Scores `[I]` of a policy on instances of equal length, and its orders `[T, I]`.

    Args:
      env: that of `world_of` for these instances.
    """
    params, start, exogenous, signals = _played(env, instances)
    orders, earned, asked = _play(policy, env, numbers, params, start, exogenous, signals)
    share = np.asarray(earned) / np.maximum(np.asarray(asked), 1e-9)
    return np.maximum(share, 0.0), np.asarray(orders)


def world_of(instances: Sequence[Instance]) -> InventoryNetwork:
    """The store of instances of equal length, whose episodes end with their last period."""
    return store(WINDOW, instances[0].periods, longest_lead_time=4)


def _played(env, instances):
    """Parameters of the instances, their first state, and all that comes from outside."""
    history, periods, count = env.history, instances[0].periods, len(instances)
    law = [LAWS[one.kind] for one in instances]
    longest = env.topology.max_lead_time
    mass = np.stack([np.pad(mass, (0, longest + 1 - len(mass))) for mass, _ in law])
    demand = np.stack([one.demand for one in instances], 1).astype(np.float32)  # [KNOWN + T, I]
    first = demand[:KNOWN].mean(0)
    base = env.default_params

    def each(value):
        return np.asarray(value, np.float32).reshape(count, 1, 1)

    params = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf)[None], count, 0), base)
    params = params.replace(
        holding=each([one.holding for one in instances]),
        shortage=each([one.profit for one in instances]),
        scale=each(first),
        initial_low=each(np.zeros(count)),
        initial_high=each(np.zeros(count)),
        initial_pipeline=each(np.zeros(count)),
        lead_time=(mass @ np.arange(longest + 1)).astype(np.float32)[:, None],
        max_order=each(np.full(count, np.inf)),
        review_period=np.ones((count, 1), np.float32),
        pack_size=each(np.ones(count)),
        lead_time_law=RandomLeadTimesParams(
            np.cumsum(mass, 1)[:, None, :-1, None].astype(np.float32),
            np.zeros(count, np.float32),
            np.ones(count, np.float32),
        ),
        arrival_law=ArrivalLaw(
            np.tile(np.array([[0.0], [1.0]], np.float32), (count, 1, 1)),
            np.array([[[1.0 - share]] for _, share in law], np.float32),
        ),
    )
    lead = np.stack([one.lead_time for one in instances], 1)
    comes = np.isfinite(lead)
    latest = np.array([len(mass) - 1 for mass, _ in law])
    exogenous = Exogenous(
        jnp.asarray(demand[KNOWN:, None, None]),
        jnp.asarray(np.where(comes, lead, latest)[:, None], jnp.float32),
        arrival=jnp.asarray(comes[:, None], jnp.float32),
    )
    before = np.zeros((history - KNOWN, count), np.float32)
    past = np.concatenate([before, demand[:-1]])  # [W - 1 + T, I]
    left = np.concatenate([np.ones(history - 1), 1.0 - np.arange(periods) / periods])
    signals = np.stack([past, np.tile(left[:, None], count).astype(np.float32)], 1)
    params = batch_last(params)
    start = jax.vmap(env.start, in_axes=BATCH, out_axes=BATCH)(
        {"stock": jnp.zeros((1, 1, count))}, params
    )
    return params, start, exogenous, jnp.asarray(signals)


@partial(jax.jit, static_argnames=("policy", "env"))
def _play(policy, env, numbers, params, start, exogenous, signals):
    def encode(signals, params):
        return policy.encode(numbers, signals, env.facts(params))

    contexts = jax.vmap(encode, in_axes=BATCH, out_axes=BATCH)(signals, params)
    contexts = jax.tree.map(lambda leaf: leaf[env.history - 1 :], contexts)

    def act(numbers, observation, context):
        return policy.act(numbers, observation, context), None

    def record(observation, outcome, note):
        return outcome.ordered[0, 0], outcome.sold[0, 0], outcome.on_hand[0, 0]

    _, (orders, sold, left), _ = rollout(
        env, params, act, numbers, start, exogenous, contexts, axis=BATCH, record=record
    )
    profit, holding = params.shortage[0, 0], params.holding[0, 0]
    earned = profit * sold.sum(0) - holding * left.sum(0)
    return orders, earned, profit * exogenous.demand[:, 0, 0].sum(0)


def read(path: str | Path) -> list[Instance]:
    """Instances of a file.

    Raises:
      UserError: a file that is none, an instance that lacks something, or of another length.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; give the file of InventoryBench")
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt") as file:
            rows = json.load(file)
    except (ValueError, OSError) as error:
        raise UserError(f"{path} is no JSON of instances ({error})") from None
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path} holds no list of instances")
    return [_instance(path, number, one) for number, one in enumerate(rows)]


def _instance(file, number, one) -> Instance:
    what = f"{file}: instance {number}"
    wanted = ("path", "train", "demand", "lead_time", "p", "h")
    if not isinstance(one, dict):
        raise UserError(f"{what} is {one!r}, and not a mapping of {', '.join(wanted)}")
    missing = [name for name in wanted if name not in one]
    if missing:
        raise UserError(f"{what} lacks {', '.join(missing)}")
    what += f" ({one['path']})"
    if len(one["train"]) != KNOWN:
        raise UserError(f"{what} has {len(one['train'])} known periods, not {KNOWN}")
    if len(one["demand"]) != len(one["lead_time"]) or not one["demand"]:
        raise UserError(
            f"{what} has {len(one['demand'])} periods of demand and {len(one['lead_time'])} of lead"
            " times"
        )
    if not any(f"/{name}/" in f"/{one['path']}/" for name in LAWS):
        raise UserError(f"{what}: its path names none of {', '.join(LAWS)}")
    try:
        lead = np.array([np.nan if value is None else value for value in one["lead_time"]], float)
        demand = np.array([*one["train"], *one["demand"]], float)
        return Instance(one["path"], demand, lead, float(one["p"]), float(one["h"]))
    except (TypeError, ValueError) as error:
        raise UserError(f"{what} holds what is no number ({error})") from None
