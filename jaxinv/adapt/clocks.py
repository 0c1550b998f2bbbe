"""The three clocks of D3S-CI on a stream of days, as one compiled scan (seed 000, section 3.4;
methods D.2 to D.4).

Each day the policy orders, the day comes, and the clocks that a run has switched on do their work:

- short: one gradient step a day on the latest noise, within a trust region. Once a week the new
  policy is compared with the acting one, and takes over if it is proven cheaper;
- medium: each week a student is taught in fresh worlds under the believed change; it acts once it
  passes the gate there;
- long: after an alarm of a detector (`jaxinv.adapt.watch`), the change is estimated every day
  (equation 10, its first part), and the policy sees lead times and past demand corrected by it.
  Where the estimate differs from the one that the policy was trained for, the policy is retrained
  for some weeks in the training worlds under that change, by its own algorithm (the second part).
  It takes over once fresh worlds prove it cheaper. Meanwhile the short clock rests.

Runs lie on leading axes `[C, V]`: C worlds, each met by V runs that differ in policy, switches and
numbers; their switches are traced, so frozen and adaptive are one program and see the same noise.
Two rivals are switches too: retraining at fixed intervals, whether there was an alarm or not, and
retraining after alarms in the unchanged worlds, which measures what more training alone is worth.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.adapt.clock_steps import WEEK, ClocksConfig, ClocksState, ClockSteps
from jaxinv.adapt.distill import Distiller
from jaxinv.adapt.gate import select
from jaxinv.adapt.online import FineTuner, Recent
from jaxinv.adapt.streams import Streams
from jaxinv.agents.loop import in_groups, runs_at_once
from jaxinv.agents.ppo import PPO
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH, WorldTrace
from jaxinv.keys import Role, key_of, root

REPLAYS = 16
"""What a run of B instances takes of a CPU's caches, in environments of a training: on so many
times B. Of runs side by side, what one of them has to do is done for all."""

TOTALS = ("demand", "forecast_error", "sold", "on_hand")
"""Units of demand, of the absolute error of the median forecast, of sales, and on hand at the end
of the day.
"""


@struct.dataclass
class Switches:
    """What a run does, as numbers `[]`."""

    short: jax.Array = 0.0  # 1: fine-tunes every day
    medium: jax.Array = 0.0  # 1: lets a student act that has passed the gate
    long: jax.Array = 0.0  # 1: estimates what has changed after an alarm, and is retrained for it
    every: jax.Array = (
        math.inf
    )  # days after which it does both anew without an alarm, the first time after half as many
    blind: jax.Array = (
        0.0  # 1: believes in the calm world whatever it hears, and is retrained in that
    )


NEVER = Switches()
ADAPTIVE = Switches(short=1.0, medium=1.0, long=1.0)


@struct.dataclass
class Diary:
    """What happened on a day of the stream."""

    cost: jax.Array  # [B] weighted cost of each instance
    short: jax.Array  # [B] units of demand not served
    risk: jax.Array  # [B] logit of a coming stock-out, as the policy's head says
    totals: jax.Array  # [len(TOTALS)] over all instances
    alarms: jax.Array  # [kinds] bool, of `watch.KINDS`
    kl: jax.Array  # [] largest KL divergence of a step
    adopted: jax.Array  # [] bool, on the last day of a week: what was learned acts from now on
    rolled_back: jax.Array  # [] bool, likewise: what was learned was taken back
    retrained: jax.Array  # [] bool, likewise: what was retrained acts from now on
    promoted: jax.Array  # [] bool: a student acts
    bound: (
        jax.Array
    )  # [] upper bound of the latest student's excess cost, on the last day of a week; else NaN


@struct.dataclass
class Clocks(ClockSteps):
    """The clocks of many runs on streams of B instances."""

    @classmethod
    def create(
        cls, env: InventoryNetwork, agent: PPO, config: ClocksConfig, batch: int
    ) -> "Clocks":
        """Clocks of an agent's policy on streams of `batch` instances, an even number."""
        if batch < 4 or batch % 2:
            raise UserError(
                f"a stream of {batch} instances cannot be halved to learn and to judge; give an"
                " even number of 4 or more"
            )
        distiller = None if config.student is None else Distiller.create(agent, config.student)
        tuner = FineTuner.create(agent, config.online, batch // 2)
        schedule = {
            "learning_rate": config.retraining_rate,
            "final_learning_rate": config.final_retraining_rate,
            "updates": config.retraining_updates,
        }
        numbers = agent.numbers | {name: jnp.float32(number) for name, number in schedule.items()}
        return cls(config, env, agent.replace(numbers=numbers), tuner, distiller)

    def run(
        self, params: Any, switches: Switches, key: jax.Array, streams: Streams
    ) -> tuple[ClocksState, Diary]:
        """Runs `[C, V]` of them through the streams.

        Args:
          params: of the policy `[C, V, ...]`.
          switches: `[C, V]`.
          streams: C of T days; the first `config.online.days` are history that the policy plays as
            it is.

        Returns:
          The states at the end, and the diary `[C, V, T - days, ...]`.
        """
        days = streams.worlds.exogenous.demand.shape[1]
        if days <= self.config.online.days:
            raise UserError(
                f"a stream of {days} days is over before its history of {self.config.online.days}"
                " days is; give a longer one"
            )
        shape = switches.short.shape

        def of_group(own):
            params, switches, number = own
            worlds = jax.tree.map(lambda leaf: leaf[number], streams.worlds)
            return self._run(params, switches, key, worlds, streams)

        number = jnp.broadcast_to(jnp.arange(shape[0])[:, None], shape)
        own = jax.tree.map(
            lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (params, switches, number)
        )
        batch = streams.instance.weights.shape[BATCH]
        done = in_groups(of_group, own, runs_at_once(math.prod(shape), REPLAYS * batch))
        return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), done)

    def alarms(self, params: Any, streams: Streams) -> jax.Array:
        """Alarms `[C, T, kinds]` of the detectors on C streams in which a policy acts unchanged."""

        def of_stream(world):
            def day(state, day):
                state, lived = self.live(state, day, world, streams.instance, streams.watch)
                return state, lived["alarms"]

            state = self.begin(params, root(0), streams)
            return jax.lax.scan(day, state, jnp.arange(world.exogenous.demand.shape[0]))[1]

        return jax.lax.map(of_stream, streams.worlds)

    def _run(self, params, switches, key, worlds, streams) -> tuple[ClocksState, Diary]:
        """G runs side by side, each with a world `[G, T, ..., B]` of its own; the diary is
        `[G, T - days, ...]`.
        """
        group = _Group(switches, key, worlds, streams)
        history, days = self.config.online.days, worlds.exogenous.demand.shape[1]
        state = jax.vmap(lambda params: self.begin(params, key, streams))(params)
        state, _ = jax.lax.scan(
            lambda state, day: (self._live_all(state, day, group)[0], None),
            state,
            jnp.arange(history),
        )
        state, diary = jax.lax.scan(
            lambda state, day: self._day(state, day, group), state, jnp.arange(history, days)
        )
        return state, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), diary)

    # a day of G runs: a step that is due in none of them is left out

    def _day(self, state, day, group) -> tuple[ClocksState, Diary]:
        """The day is lived; then the long, the short and the medium clock do what is due."""
        state, lived = self._live_all(state, day, group)
        recent = self._recent(day, group)
        state = self._listen_all(state, day, group, lived["alarms"], recent)
        retraining = day - state.started < self.config.retraining
        promoted = state.promoted
        state, kl = self._tune_all(state, day, group, recent, ~retraining)
        state = self._retrain_all(state, day, group, retraining)
        state, retrained = self._prove_all(state, day, group, retraining)
        state, adopted, rolled_back = self._check_all(state, day, group, recent)
        state, bound = self._teach_all(state, day, group)
        return state, Diary(
            **lived,
            kl=kl,
            adopted=adopted,
            rolled_back=rolled_back,
            retrained=retrained,
            promoted=promoted,
            bound=bound,
        )

    def _live_all(self, state, day, group):
        streams = group.streams
        return jax.vmap(
            lambda state, world: self.live(state, day, world, streams.instance, streams.watch)
        )(state, group.worlds)

    def _recent(self, day, group) -> Recent:
        """The noise of the latest days `[G, ...]`, as far as it is known on the evening."""
        expected = group.streams.watch.calm.lead_time
        return jax.vmap(
            lambda world: Recent.before(
                world, day + 1, self.config.online.days, self.env.history, expected
            )
        )(group.worlds)

    def _listen_all(self, state, day, group, alarms, recent):
        """The long clock, its estimate: after an alarm, and every day from then on."""
        switches, calm = group.switches, group.streams.watch.calm
        planned = (day - self.config.online.days) % switches.every == switches.every // 2
        heard = alarms & (switches.long[:, None] > 0)
        due = jnp.any(heard) | jnp.any(planned) | jnp.any(jnp.isfinite(state.found.heard))

        def listen(state):
            return jax.vmap(lambda *own: self.listen(*own, day, calm))(
                state, heard, planned, switches.blind > 0, recent
            )

        return _where_due(due, listen, state)

    def _tune_all(self, state, day, group, recent, allowed):
        """The short clock, every day but those of a retraining: the states, and the KL divergences
        of the steps `[G]`.
        """
        tunes = (group.switches.short > 0) & allowed

        def tune(state):
            stepped, kl = jax.vmap(
                lambda *own: self.tune(*own, group.today(day), day, group.streams.instance)
            )(state, recent)
            return _where(tunes, stepped, state), jnp.where(tunes, kl, 0.0)

        return _where_due(jnp.any(tunes), tune, state, jnp.zeros(tunes.shape))

    def _retrain_all(self, state, day, group, retraining):
        """The long clock, its retraining: the updates of a day."""

        def retrain(state):
            retrained = jax.vmap(
                lambda state: self.retrain(state, group.key, day, group.streams.watch.calm)
            )(state)
            return _where(retraining, retrained, state)

        return _where_due(jnp.any(retraining), retrain, state)

    def _prove_all(self, state, day, group, retraining):
        """The long clock, its gate, at the end of each week of a retraining: the states, and
        whether what was retrained acts from now on `[G]`.
        """
        proves = retraining & ((day - state.started) % WEEK == WEEK - 1)

        def prove(state):
            proven, better = jax.vmap(
                lambda state: self.prove(state, group.today(day), group.streams.watch.calm)
            )(state)
            return _where(proves, proven, state), proves & better

        return _where_due(jnp.any(proves), prove, state, jnp.zeros(proves.shape, bool))

    def _check_all(self, state, day, group, recent):
        """The short clock, its gate, on the last day of a week: the states, whether what was
        fine-tuned acts from now on, and whether it was taken back `[G]`.
        """
        due = (day % WEEK == WEEK - 1) & jnp.any(group.switches.short > 0)

        def check(state):
            return jax.vmap(lambda *own: self.check(*own, day, group.streams.instance))(
                state, recent
            )

        unmoved = jnp.zeros((*group.switches.short.shape, 2), bool)
        state, moved = _where_due(due, check, state, unmoved)
        return state, *jnp.moveaxis(moved, -1, 0)

    def _teach_all(self, state, day, group):
        """The medium clock, on the last day of a week: the states, and the bounds of the gate
        `[G]`.
        """
        bound = jnp.full(group.switches.medium.shape, jnp.nan)
        if self.distiller is None:
            return state, bound
        due = (day % WEEK == WEEK - 1) & jnp.any(group.switches.medium > 0)

        def teach(state):
            calm = group.streams.watch.calm
            return jax.vmap(lambda *own: self.teach(*own, group.today(day), calm))(
                state, group.switches
            )

        return _where_due(due, teach, state, bound)


class _Group(NamedTuple):
    """G runs that go side by side."""

    switches: Switches  # [G]
    key: jax.Array
    worlds: WorldTrace  # [G, T, ..., B]
    streams: Streams

    def today(self, day: jax.Array) -> jax.Array:
        """The key of a day."""
        return key_of(self.key, Role.CLOCKS, day)


def _where_due(due, step, state, *nothing):
    """What a step makes of the states, where it is due; else they stay, with `nothing` found."""
    if not nothing:
        return jax.lax.cond(due, step, lambda state: state, state)
    return jax.lax.cond(due, step, lambda state: (state, *nothing), state)


def _where(which, new, old):
    """Trees `[G, ...]`: new where `which` `[G]` holds."""
    return jax.vmap(select)(which, new, old)
