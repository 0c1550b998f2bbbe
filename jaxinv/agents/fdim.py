"""FDIM: a forecaster that several parties train together and keep their data apart, and the
newsvendor's rule on it.

Features are split by party and samples are shared (vertical federated learning; Wang et al. 2022,
which seed 000 compares with). Each party k turns its own columns into an activation, and the label
holder, who alone knows demand, makes quantiles of all of them (methods C.4):

    h^k = f(x^k; w_k),   y = g([h^1 .. h^K]; w_0),   L = mean of the pinball losses of y

Nothing but h^k goes to the label holder and nothing but dL/dh^k comes back: `federated_gradient` is
that exchange and no more. Noise on h^k, which are within -1 .. 1, hides what they tell. Orders go
up to the median over the periods that they cover, and a safety for the critical ratio:

    S = sum_j y.5_j + z(b / (b + h)) / z(.9) (sum_j (y.9_j - y.5_j)^2)^(1/2),   order (S - IP)^+

With `clients` the data are split by series instead, and each client trains the whole network on its
own (FedAvg, McMahan et al. 2017): w <- sum_k (n_k / n) w_k after every round.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from jaxinv.agents.agent import traced
from jaxinv.agents.learner import Learner, LearnerConfig, LearnerState
from jaxinv.agents.losses import by_environment, flat, pinball
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.errors import UserError
from jaxinv.evaluation.playing import play
from jaxinv.evaluation.rollout import BATCH
from jaxinv.nets.federated import HOLDER, Federation
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
class Lesson:
    """What a rollout teaches, environments first."""

    tokens: jax.Array  # [B, W + T, C] of all parties
    demand: jax.Array  # [B, T, D * K]
    recent: jax.Array  # [B, T, D * K] the unit of forecasts
    share: jax.Array  # [B] weight of each environment in the loss, 1 in sum


@struct.dataclass
class FDIM(Learner):
    """FDIM as an `Agent`."""

    Config: ClassVar = FDIMConfig
    settles: ClassVar = True

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
            loss, grads = self.federated_gradient(state.params, lesson, noise_key)
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

    def federated_gradient(
        self, params: Any, lesson: Lesson, key: jax.Array
    ) -> tuple[jax.Array, Any]:
        """The loss and its gradient as the parties find it: of `lesson.tokens` each sees its own
        columns, of the other parts the label holder alone sees anything.
        """
        sent, backward = {}, {}
        for name, columns in self.federation.parties:
            own = lesson.tokens[..., np.asarray(columns)]
            weights = params["params"][name]
            sent[name], backward[name] = jax.vjp(
                lambda weights, name=name, own=own: self.federation.send(name, weights, own),
                weights,
            )
        for number, name in enumerate(sent):
            drawn = jax.random.normal(jax.random.fold_in(key, number), sent[name].shape)
            sent[name] = sent[name] + self.numbers["noise"] * drawn
        # here the label holder works: it has what was sent, and its own labels and weights
        held = params["params"][HOLDER]
        loss, (own, replies) = jax.value_and_grad(self._holders_loss, (0, 1))(held, sent, lesson)
        grads = {name: backward[name](replies[name])[0] for name in sent}
        return loss, {"params": {**grads, HOLDER: own}}

    def central_loss(self, params: Any, lesson: Lesson) -> jax.Array:
        """The loss of one who has all columns and labels."""
        sent = {
            name: self.federation.send(
                name, params["params"][name], lesson.tokens[..., np.asarray(columns)]
            )
            for name, columns in self.federation.parties
        }
        return self._holders_loss(params["params"][HOLDER], sent, lesson)

    def _holders_loss(self, held, sent, lesson):
        history = self.policy.history
        forecast = self.federation.answer(held, sent)[:, history - 1 : -1]
        losses = jax.vmap(lambda *own: pinball(*(part[None] for part in own)))(
            forecast, lesson.demand, lesson.recent
        )
        return jnp.sum(lesson.share * losses)

    def _round(self, params, optimiser, lesson, index, update):
        """A round of FedAvg: each client steps on the environments of its own series, and what they
        arrive at is averaged by how many these are, their optimisers too."""
        client = index % self.config.clients
        mine = (client == jnp.arange(self.config.clients)[:, None]).astype(jnp.float32)  # [K, B]
        count = mine.sum(1)

        def of_client(share):
            own = lesson.replace(share=share)

            def step(carry, _):
                loss, grads = jax.value_and_grad(self.central_loss)(carry[0], own)
                return self.descend(*carry, grads, update), (loss, optax.tree.norm(grads))

            return jax.lax.scan(step, (params, optimiser), length=self.config.local_steps)

        found, told = jax.vmap(of_client)(mine / jnp.maximum(count, 1.0)[:, None])
        weight = count / count.sum()

        def average(leaf):
            return jnp.tensordot(weight, leaf, 1).astype(leaf.dtype)

        loss, length = jax.tree.map(lambda leaf: average(leaf[:, 0]), told)
        return jax.tree.map(average, found), loss, length
