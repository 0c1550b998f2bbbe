"""Encoders: signals of a series to a state for every period, in one pass.

Every encoder is causal with a finite memory: the state of period t is a function of the latest
`memory` tokens, t included, and of nothing else. So a whole trace encoded once gives at every t the
state that the window of t encoded alone gives as its last row ("encode once" equals "window by
window"): training reads a trace in one pass, and a decision in use reads one window. Where only the
latest rows are wanted, `rows` says how many.

Source: seed 000 (D3S-CI), equations 2-4, made causal, with positions and several heads.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.errors import UserError, unknown


def make_encoder(
    kind: str,
    features: int = 64,
    heads: int = 4,
    layers: int = 2,
    window: int = 28,
    dtype: jnp.dtype = jnp.float32,
    series: int = 0,
) -> nn.Module:
    """The encoder of that name: it maps `[..., T, C]` to `[..., T, features]` and has a `memory` in
    tokens.

    Args:
      kind: "transformer", "gru" (recurrent), "eq3" (seed 000 to the letter), "last" (no state
        representation: the ablation), "stack" (the tokens of the window as they are) or "known"
        (the covariates of the coming period as they are, and no demand).
      features: width of the state.
      heads: attention heads of the transformer; eq3 has one, gru and last none.
      layers: layers of the transformer, or cells of the gru on top of each other; eq3 has one, last
        none.
      window: tokens that a state depends on; with last it is one.
      dtype: of the activations; parameters, softmax and states are float32 in any case.
      series: demand series, the first channels of a token; known leaves them out.

    Raises:
      UserError: an unknown kind, a size below 1, or features that are no multiple of the
        transformer's heads.
    """
    for name, size in dict(features=features, heads=heads, layers=layers, window=window).items():
        if size < 1:
            raise UserError(f"encoder: {name}={size} must be at least 1")
    if kind == "transformer":
        if features % heads:
            raise UserError(f"encoder: features={features} must be a multiple of heads={heads}")
        return TransformerEncoder(features, heads, layers, window, dtype)
    if kind == "gru":
        return RecurrentEncoder(features, layers, window, dtype)
    if kind == "eq3":
        return LiteralEncoder(features, window, dtype)
    if kind == "last":
        return LastEncoder(features, dtype)
    if kind == "known":
        return KnownEncoder(series)
    if kind == "stack":
        return StackEncoder(window)
    raise unknown("encoder", kind, ("transformer", "gru", "eq3", "last", "stack", "known"))


class TransformerEncoder(nn.Module):
    """Causal pre-LN Transformer with sliding-window attention, then equation 4 of seed 000.

    A layer sees the present token and `reach` tokens before it. Reaches add up over the layers, so
    the layers share `window - 1` out among them: at window 28 one layer reaches 27, two reach 14
    and 13, and a state depends on 28 tokens exactly. An early token attends to fewer tokens; none
    is made up for it.

    Positions are relative, as a bias learned per head and lag: it rides on the mask that is added
    anyway, where rotary positions would turn every query and key, and absolute ones would tell
    where in the trace a window is.

    Attributes:
      features: width of tokens, layers and states; a multiple of `heads`.
      heads: attention heads.
      layers: attention layers, each followed by a perceptron of width `2 * features`.
      window: tokens that a state depends on, its own included.
      dtype: of the activations; parameters, softmax and states are float32 in any case.
    """

    features: int = 64
    heads: int = 4
    layers: int = 2
    window: int = 28
    dtype: jnp.dtype = jnp.float32

    @property
    def memory(self) -> int:
        return self.window

    @nn.compact
    def __call__(self, signals: jax.Array, rows: int | None = None) -> jax.Array:
        """Signals `[..., T, C]`, standardised, to states `[..., T, features]`, or those of the
        latest `rows`.
        """
        share, extra = divmod(self.window - 1, self.layers)
        x = nn.Dense(self.features, dtype=self.dtype)(signals)
        for layer in range(self.layers):
            reach = share + (layer < extra)
            attend = _SelfAttention(self.features, self.heads, reach, self.dtype)
            x = x + attend(nn.LayerNorm(dtype=self.dtype)(x))
            hidden = nn.Dense(2 * self.features, dtype=self.dtype)(
                nn.LayerNorm(dtype=self.dtype)(x)
            )
            x = x + nn.Dense(self.features, dtype=self.dtype)(nn.gelu(hidden))
        return _Refine(self.features, self.dtype)(_latest(nn.LayerNorm(dtype=self.dtype)(x), rows))


class RecurrentEncoder(nn.Module):
    """Gated recurrent units (Cho et al. 2014) over the window that ends in each token, then
    equation 4 of seed 000.

    A recurrence along the whole trace would remember where the trace began, and a decision would
    depend on how long a simulation has run. So every window is read from a blank state, all windows
    side by side: `window` steps, however long the trace, at `window` times the work of one pass
    along it.

    Attributes:
      features: width of cells and states.
      layers: cells on top of each other.
      window: tokens that a state depends on, its own included.
      dtype: of the activations; parameters and states are float32 in any case.
    """

    features: int = 64
    layers: int = 1
    window: int = 28
    dtype: jnp.dtype = jnp.float32

    @property
    def memory(self) -> int:
        return self.window

    @nn.compact
    def __call__(self, signals: jax.Array, rows: int | None = None) -> jax.Array:
        """Signals `[..., T, C]`, standardised, to states `[..., T, features]`, or those of the
        latest `rows`.
        """
        steps = signals.shape[-2]
        rows = steps if rows is None else rows
        place = (
            np.arange(self.window)[:, None] + np.arange(steps - rows, steps) - (self.window - 1)
        )  # [window, rows]
        tokens = jnp.moveaxis(
            signals[..., np.maximum(place, 0), :], -3, 0
        )  # [window, ..., rows, C]
        exists = jnp.asarray(place >= 0)[
            ..., None
        ]  # an early token has fewer before it; none is made up

        read = nn.scan(_Cells, variable_broadcast="params", split_rngs={"params": False})
        blank = (jnp.zeros((*tokens.shape[1:-1], self.features), self.dtype),) * self.layers
        states, _ = read(self.features, self.dtype)(blank, (tokens, exists))
        return _Refine(self.features, self.dtype)(states[-1])


class LiteralEncoder(nn.Module):
    """Equations 2-4 of seed 000: Q = XW^Q, K = XW^K, V = XW^V, s = softmax(QK^T / sqrt(d_k)) V,
    then FC.

    One head over the window, with no position, residual, perceptron or norm. X of period t is the
    window that ends in t, and its state is the row of t.

    Attributes:
      features: d_k, and the width of the state.
      window: tokens that a state depends on, its own included.
      dtype: of the activations; parameters, softmax and states are float32 in any case.
    """

    features: int = 64
    window: int = 28
    dtype: jnp.dtype = jnp.float32

    @property
    def memory(self) -> int:
        return self.window

    @nn.compact
    def __call__(self, signals: jax.Array, rows: int | None = None) -> jax.Array:
        """Signals `[..., T, C]`, standardised, to states `[..., T, features]`, or those of the
        latest `rows`.
        """
        query, key, value = (
            nn.Dense(self.features, use_bias=False, dtype=self.dtype)(signals)[..., None, :]
            for _ in range(3)
        )
        state = banded_attention(query, key, value, lag_bias=jnp.zeros((1, self.window)))
        return _Refine(self.features, self.dtype)(_latest(state[..., 0, :], rows))


class LastEncoder(nn.Module):
    """A perceptron of the last token: D3S-CI "without state representation" (seed 000, section
    4.5).

    Attributes:
      features: width of the hidden layer and of the state.
      dtype: of the activations; parameters and states are float32 in any case.
    """

    features: int = 64
    dtype: jnp.dtype = jnp.float32

    @property
    def memory(self) -> int:
        return 1

    @nn.compact
    def __call__(self, signals: jax.Array, rows: int | None = None) -> jax.Array:
        """Signals `[..., T, C]`, standardised, to states `[..., T, features]`, or those of the
        latest `rows`.
        """
        hidden = nn.gelu(nn.Dense(self.features, dtype=self.dtype)(_latest(signals, rows)))
        return _Refine(self.features, self.dtype)(hidden)


class StackEncoder(nn.Module):
    """The tokens of the window as they are, the latest first: the stacked frames of deep Q-learning
    (Mnih et al. 2015). Before the first token of a trace there are zeros.

    Attributes:
      window: tokens that a state holds, its own included.
    """

    window: int = 28

    @property
    def memory(self) -> int:
        return self.window

    def __call__(self, signals: jax.Array, rows: int | None = None) -> jax.Array:
        """Signals `[..., T, C]`, standardised, to states `[..., T, window * C]`, or those of the
        latest `rows`.
        """
        before = [(0, 0)] * (signals.ndim - 2) + [(self.window - 1, 0), (0, 0)]
        padded, periods = jnp.pad(signals, before), signals.shape[-2]
        starts = range(self.window - 1, -1, -1)
        return _latest(jnp.concatenate([padded[..., s : s + periods, :] for s in starts], -1), rows)


class KnownEncoder(nn.Module):
    """What is known of the coming period, as it is: for problems whose covariates say all that the
    past can.

    Attributes:
      series: channels of demand, which come first in a token and are left out.
    """

    series: int

    memory = 1

    def __call__(self, signals: jax.Array, rows: int | None = None) -> jax.Array:
        """Signals `[..., T, C]` to states `[..., T, C - series]`, or those of the latest `rows`."""
        return _latest(signals, rows)[..., self.series :]


def banded_attention(
    query: jax.Array, key: jax.Array, value: jax.Array, lag_bias: jax.Array
) -> jax.Array:
    """softmax(q_t k_s / sqrt(D) + lag_bias[t - s]) v_s over t - reach <= s <= t (seed 000, equation
    3).

    Time is cut into blocks no shorter than `reach`, so that a block's queries need the keys of
    their own block and the one before: T * 2 * block products, never T * T, all of them in batched
    matrix products.

    Args:
      query, key, value: `[..., T, H, D]`, H heads of width D.
      lag_bias: `[H, reach + 1]`, added to the scores by lag; its width sets the band.

    Returns:
      `[..., T, H, D]` in the type of `value`.
    """
    *lead, steps, heads, width = query.shape
    reach = lag_bias.shape[-1] - 1
    blocks = max(steps // max(reach, 1), 1)
    size = -(-steps // blocks)
    padded = blocks * size

    def head_major(x, before):
        x = jnp.moveaxis(x, -2, -3)
        return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(before, padded - steps), (0, 0)])

    def with_previous(x):
        x = head_major(x, before=size).reshape(*lead, heads, blocks + 1, size, width)
        return jnp.concatenate([x[..., :-1, :, :], x[..., 1:, :, :]], axis=-2)

    query = head_major(query * width**-0.5, before=0).reshape(*lead, heads, blocks, size, width)
    key, value = with_previous(key), with_previous(value)

    place = np.arange(2 * size)  # of a key among its own and the previous block
    lag = np.arange(size, 2 * size)[:, None] - place
    exists = (np.arange(blocks)[:, None, None] > 0) | (
        place >= size
    )  # the first block has none before it
    seen = (lag >= 0) & (lag <= reach) & exists  # [blocks, size, 2 * size]
    bias = jnp.where(seen, lag_bias[:, None, np.clip(lag, 0, reach)], -1e30)

    scores = jnp.einsum("...qd,...kd->...qk", query, key, preferred_element_type=jnp.float32) + bias
    # The sum divides after the product with the values, on D columns not 2 * size: 5-14% less time
    # on CPU.
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
    mixed = jnp.einsum("...qk,...kd->...qd", weights.astype(value.dtype), value)
    mixed = (mixed / weights.sum(-1, keepdims=True)).astype(value.dtype)
    return jnp.moveaxis(mixed.reshape(*lead, heads, padded, width)[..., :steps, :], -3, -2)


def _latest(array: jax.Array, rows: int | None) -> jax.Array:
    """The latest rows of `[..., T, F]`; all for None."""
    return array if rows is None else array[..., array.shape[-2] - rows :, :]


class _SelfAttention(nn.Module):
    """Banded attention between its projections, `[..., T, features]` to the same."""

    features: int
    heads: int
    reach: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        lag_bias = self.param(
            "lag_bias", nn.initializers.normal(0.02), (self.heads, self.reach + 1)
        )
        # One product for queries, keys and values of every head.
        qkv = nn.Dense(3 * self.features, use_bias=False, dtype=self.dtype)(x)
        qkv = qkv.reshape(*x.shape[:-1], 3, self.heads, self.features // self.heads)
        mixed = banded_attention(qkv[..., 0, :, :], qkv[..., 1, :, :], qkv[..., 2, :, :], lag_bias)
        return nn.Dense(self.features, use_bias=False, dtype=self.dtype)(mixed.reshape(x.shape))


class _Cells(nn.Module):
    """Reads one token with cells on top of each other; where it does not exist, their states
    stay.
    """

    features: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, states, inputs):
        token, exists = inputs
        after = []
        for state in states:
            state = jnp.where(
                exists, nn.GRUCell(self.features, dtype=self.dtype)(state, token)[0], state
            )
            after.append(state)
            token = state
        return tuple(after), None


class _Refine(nn.Module):
    """s~_t = GELU(W s_t + b) in float32 (seed 000, equation 4): `[..., S]` to `[..., features]`."""

    features: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, state: jax.Array) -> jax.Array:
        return nn.gelu(nn.Dense(self.features, dtype=self.dtype)(state)).astype(jnp.float32)
