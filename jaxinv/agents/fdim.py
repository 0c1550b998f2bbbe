"""FDIM: a forecaster that several parties train together and keep their data apart, and the
newsvendor's rule on it.

Features are split by party and samples are shared (vertical federated learning; Wang et al. 2022,
which seed 000 compares with). Each party k turns its own columns into an activation, and the label
holder, who alone knows demand, makes quantiles of all of them (methods C.4):

    h^k = f(x^k; w_k),   y = g([h^1 .. h^K]; w_0),   L = mean of the pinball losses of y

Nothing but h^k goes to the label holder and nothing but dL/dh^k comes back
(`jaxinv.agents.federated`). Noise on h^k, which are within -1 .. 1, hides what they tell. Orders go
up to the median over the periods that they cover, and a safety for the critical ratio:

    S = sum_j y.5_j + z(b / (b + h)) / z(.9) (sum_j (y.9_j - y.5_j)^2)^(1/2),   order (S - IP)^+

With `clients` the data are split by series instead, and each client trains the whole network on its
own (FedAvg, McMahan et al. 2017): w <- sum_k (n_k / n) w_k after every round.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxinv.agents.agent import traced
from jaxinv.agents.federated import Lesson, central_loss, federated_gradient
from jaxinv.agents.learner import Learner, LearnerConfig, LearnerState
from jaxinv.agents.losses import by_environment, flat
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError
from jaxinv.evaluation.playing import play
from jaxinv.evaluation.rollout import BATCH
from jaxinv.nets.federated import Federation
from jaxinv.policies.federated import FederatedPolicy, shared_among


@dataclass(frozen=True)
class FDIMConfig(LearnerConfig):
    """Hyper-parameters beside those of every learner (`LearnerConfig`).

    Attributes:
      encoder, features, heads, layers: of each party; hidden, activation: of the label holder.
      parties: who owns which signals, such as "retailer:demand,marketplace:price+views_before";
        empty for the retailer, the marketplace and the public of `policies.federated`, as far as
        each has any.
      forecast: periods that are foreseen; beyond, the last is taken again.
      clients: of FedAvg, among whom the series are dealt out; 0 for parties alone.
      local_steps: of each client in a round.
      noise: standard deviation of the noise on every activation that a party sends in training.
    """

    updates: int = 400
    rollout: int = 40
    features: int = 16
    heads: int = 2
    layers: int = 1
    hidden: tuple[int, ...] = (32,)
    parties: tuple[str, ...] = ()
    forecast: int = 7
    clients: int = 0
    local_steps: int = 1
    learning_rate: float = traced(3e-3)
    noise: float = traced(0.0)

    counts: ClassVar = (*LearnerConfig.counts, "forecast", "local_steps")
    stock_only: ClassVar = dict(encoder="last")
    penalties: ClassVar = ()

    def __post_init__(self):
        super().__post_init__()
        if self.encoder not in ("transformer", "gru", "eq3", "last"):
            raise UserError(
                f"encoder={self.encoder}: a party's encoder is transformer, gru, eq3 or last"
            )
        plain = {field.name: field.default for field in fields(self)}
        for name in ("init", "signals", "form", "allocation", "window_by_window", "preferences",
                     "roles", "team_share"):  # fmt: skip
            if getattr(self, name) not in (plain[name], None):
                raise UserError(
                    f"{name} is of learners whose network decides; agent=fdim orders by the"
                    f" newsvendor's rule: leave {name} out"
                )
        if self.local_steps > 1 and not self.clients:
            raise UserError(f"local_steps={self.local_steps} are of clients; give clients=2 or so")


@struct.dataclass
class FDIM(Learner):
    """FDIM as an `Agent`."""

    Config: ClassVar = FDIMConfig
    settles: ClassVar = True

    @classmethod
    def create(cls, problem: Problem, config: FDIMConfig) -> Self:
        """See `Learner`.

        Raises:
          UserError: more clients than series.
        """
        made = super().create(problem, config)
        if config.clients > made.worlds.instances:
            raise UserError(
                f"clients={config.clients} are more than the {made.worlds.instances} series that"
                " are learned on; give fewer"
            )
        return made

    @classmethod
    def make_policy(cls, env: InventoryNetwork, config: Any) -> FederatedPolicy:
        """See `Learner`.

        Raises:
          UserError: parties that own nothing, or the same.
        """
        return FederatedPolicy.of(env, config, shared_among(env, config.parties))

    @property
    def federation(self) -> Federation:
        """The network of all parties."""
        return self.policy.network

    def update(self, state: LearnerState) -> tuple[LearnerState, dict[str, jax.Array]]:
        """One rollout, and one step of the parties or one round of the clients."""
        key, begin_key, noise_key = jax.random.split(state.key, 3)
        episodes, index = self.worlds.proceed(begin_key, state.episodes, state.index)
        instance = self.worlds.instance_params(index, episodes.key)
        after, trace, signals = self.worlds.play_ahead(episodes, instance)
        lesson = self.lesson(signals, trace, instance)
        now = state.params, state.optimiser
        if self.config.clients:
            (params, optimiser), loss, length = self._round(*now, lesson, index, state.update)
        else:
            noise = self.numbers["noise"]
            loss, grads = federated_gradient(
                self.federation, state.params, lesson, noise_key, noise
            )
            params, optimiser = self.descend(*now, grads, state.update)
            length = optax.tree.norm(grads)
        network, _, reward, _ = play(
            self.worlds.env, instance, self.policy, params, episodes.network, None, trace,
            episodes.key, episodes.period, record=lambda seen, outcome, note: outcome.reward,
            axis=self.worlds.axis,
        )  # fmt: skip
        after = after.replace(network=network)
        metrics = {"cost": -reward.mean(), "forecast_loss": loss, "gradient_norm": length}
        return LearnerState(params, optimiser, after, index, key, state.update + 1), metrics

    def lesson(self, signals: jax.Array, trace: Any, instance: Any) -> Lesson:
        """What the signals `[W + T, S, B]` and the demand of a rollout teach."""
        env, batch = self.worlds.env, self.config.envs

        def recent(signals, instance):
            return self.policy.read_rates(signals, env.facts(instance)).recent

        rates = jax.vmap(recent, (BATCH, self.worlds.axis), BATCH)(signals, instance)
        return Lesson(
            self.tokens(signals, instance),
            by_environment(flat(trace.exogenous.demand)),
            by_environment(flat(rates[env.history - 1 : -1])),
            jnp.full(batch, 1.0 / batch),
        )

    def _round(self, params, optimiser, lesson, index, update):
        """A round of FedAvg: each client steps on the environments of its own series, and what they
        arrive at is averaged by how many these are, their optimisers too."""
        client = index % self.config.clients
        mine = (client == jnp.arange(self.config.clients)[:, None]).astype(jnp.float32)  # [K, B]
        count = mine.sum(1)

        def of_client(share):
            own = lesson.replace(share=share)
            gradient = jax.value_and_grad(lambda params: central_loss(self.federation, params, own))

            def step(carry, _):
                loss, grads = gradient(carry[0])
                return self.descend(*carry, grads, update), (loss, optax.tree.norm(grads))

            return jax.lax.scan(step, (params, optimiser), length=self.config.local_steps)

        found, told = jax.vmap(of_client)(mine / jnp.maximum(count, 1.0)[:, None])
        weight = count / count.sum()

        def average(leaf):
            return jnp.tensordot(weight, leaf, 1).astype(leaf.dtype)

        loss, length = jax.tree.map(lambda leaf: average(leaf[:, 0]), told)
        return jax.tree.map(average, found), loss, length
