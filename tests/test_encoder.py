"""The encoders: finite causal memory, "encode once" equal to "window by window", and their
attention.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxinv.errors import UserError
from jaxinv.nets.encoder import banded_attention, make_encoder
from jaxinv.nets.mlp import MLP

SIGNALS = 3
ENCODERS = [
    ("transformer", dict(layers=1, window=7)),
    ("transformer", dict(layers=2, window=8)),  # 7 tokens back shared by two layers: 4 and 3
    ("gru", dict(layers=1, window=7)),
    ("gru", dict(layers=2, window=8)),
    ("eq3", dict(window=6)),
    ("last", dict()),
    ("stack", dict(window=5)),
]


def build(kind, sizes, batch=(2,)):
    """An encoder compiled, random parameters (none left at 0) and signals
    `[*batch, 23, SIGNALS]`.
    """
    encoder = make_encoder(kind, features=8, heads=2, **sizes)
    random = np.random.default_rng(0)
    signals = random.normal(size=(*batch, 23, SIGNALS)).astype(np.float32)
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), signals)
    params = jax.tree.map(lambda leaf: random.normal(0, 0.4, leaf.shape).astype(np.float32), shapes)
    return encoder, jax.jit(encoder.apply), params, signals


@pytest.mark.parametrize("kind, sizes", ENCODERS)
def test_encode_once_equals_window_by_window_and_a_short_prefix(kind, sizes):
    encoder, encode, params, signals = build(kind, sizes)
    steps, memory = signals.shape[-2], encoder.memory
    once = encode(params, signals)
    windows = signals[:, np.arange(steps - memory + 1)[:, None] + np.arange(memory)]
    np.testing.assert_allclose(
        once[:, memory - 1 :], encode(params, windows)[..., -1, :], atol=1e-5
    )
    np.testing.assert_allclose(once[:, :3], encode(params, signals[:, :3]), atol=1e-5)


@pytest.mark.parametrize("kind, sizes", ENCODERS)
def test_state_depends_on_its_memory_and_nothing_else(kind, sizes):
    encoder, encode, params, signals = build(kind, sizes, batch=())
    slope = jax.jit(jax.jacrev(encode, argnums=1))(params, signals)  # [T, features, T, SIGNALS]
    depends = np.abs(slope).sum((1, 3)) > 0
    lag = np.arange(len(signals))[:, None] - np.arange(len(signals))
    np.testing.assert_array_equal(depends, (lag >= 0) & (lag < encoder.memory))


@pytest.mark.parametrize("kind", ["transformer", "gru", "eq3", "last", "stack"])
@pytest.mark.parametrize("rows", [1, 5])
def test_the_latest_rows_alone_are_the_same(kind, rows):
    encoder, encode, params, signals = build(kind, dict(window=8, layers=1))
    latest = jax.jit(encoder.apply, static_argnames="rows")(params, signals, rows=rows)
    np.testing.assert_allclose(latest, encode(params, signals)[:, -rows:], atol=1e-6)


def test_the_latest_rows_of_a_recurrence_are_less_work():
    encoder, _, params, signals = build("gru", dict(window=8, layers=1))

    def work(rows):
        compiled = (
            jax.jit(encoder.apply, static_argnames="rows")
            .lower(params, signals, rows=rows)
            .compile()
        )
        return compiled.memory_analysis().temp_size_in_bytes

    assert work(1) < work(20) / 4


def test_the_recurrence_is_that_of_cho_2014():
    """Every window from a blank state, by hand; a longer past changes nothing, an earlier token is
    not made up.
    """
    _, encode, params, signals = build("gru", dict(window=6, layers=1), batch=())
    cell, refine = (
        params["params"]["Scan_Cells_0"]["GRUCell_0"],
        params["params"]["_Refine_0"]["Dense_0"],
    )

    def dense(name, x):
        return x @ cell[name]["kernel"] + cell[name].get("bias", 0.0)

    states = encode(params, signals)
    for t in (0, 3, 22):
        state = np.zeros(8, np.float32)
        for token in signals[max(t - 5, 0) : t + 1]:
            reset = jax.nn.sigmoid(dense("ir", token) + dense("hr", state))
            update = jax.nn.sigmoid(dense("iz", token) + dense("hz", state))
            new = jnp.tanh(dense("in", token) + reset * dense("hn", state))
            state = (1 - update) * new + update * state
        expected = jax.nn.gelu(state @ refine["kernel"] + refine["bias"])
        np.testing.assert_allclose(states[t], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["transformer", "gru", "eq3"])
def test_batch_axes_vmap_and_scan_agree(kind):
    _, encode, params, signals = build(kind, dict(window=8, layers=1), batch=(2, 3))
    states = encode(params, signals)
    assert states.shape == (2, 3, signals.shape[-2], 8)
    mapped = jax.vmap(jax.vmap(encode, in_axes=(None, 0)), in_axes=(None, 0))(params, signals)
    _, scanned = jax.lax.scan(lambda carry, x: (carry, encode(params, x)), None, signals)
    np.testing.assert_allclose(mapped, states, atol=1e-5)
    np.testing.assert_allclose(scanned, states, atol=1e-5)


def test_seeds_can_be_vmapped():
    _, encode, params, signals = build("transformer", dict(window=8, layers=1))
    stacked = jax.tree.map(lambda leaf: np.stack([leaf, 2 * leaf]), params)
    states = jax.vmap(encode, in_axes=(0, None))(stacked, signals)
    np.testing.assert_allclose(states[0], encode(params, signals), atol=1e-5)


@pytest.mark.parametrize("steps, reach", [(1, 4), (7, 4), (23, 4), (9, 0)])
def test_attention_equals_dense_attention(steps, reach):
    random = np.random.default_rng(steps)
    query, key, value = random.normal(size=(3, 2, steps, 3, 5)).astype(np.float32)
    lag_bias = random.normal(size=(3, reach + 1)).astype(np.float32)
    lag = np.arange(steps)[:, None] - np.arange(steps)
    scores = (
        np.einsum("bthd,bshd->bhts", query, key) / np.sqrt(5) + lag_bias[:, np.clip(lag, 0, reach)]
    )
    weights = np.where((lag >= 0) & (lag <= reach), np.exp(scores), 0)
    weights /= weights.sum(-1, keepdims=True)
    expected = np.einsum("bhts,bshd->bthd", weights, value)
    np.testing.assert_allclose(
        jax.jit(banded_attention)(query, key, value, lag_bias), expected, atol=1e-5
    )


def test_attention_gradients_equal_finite_differences():
    random = np.random.default_rng(0)
    arrays = [random.normal(size=shape).astype(np.float32) for shape in [(7, 2, 3)] * 3 + [(2, 4)]]
    check_grads(jax.jit(banded_attention), arrays, order=1, modes=("rev",), atol=1e-2, rtol=1e-2)


def test_attention_takes_large_scores():
    huge = np.full((9, 1, 4), 1e4, np.float32)
    mixed = jax.jit(banded_attention)(huge, huge, np.ones_like(huge), np.zeros((1, 4), np.float32))
    np.testing.assert_allclose(mixed, 1.0)


def test_work_grows_with_the_trace_not_with_its_square():
    _, encode, params, _ = build("transformer", dict(window=8))

    def work(steps):
        return encode.lower(params, jnp.zeros((steps, SIGNALS))).cost_analysis()["flops"]

    assert work(1024) < 2.1 * work(512)


def test_eq3_is_the_literal_equations():
    _, encode, params, signals = build("eq3", dict(window=6), batch=())
    kernels = [params["params"][f"Dense_{i}"]["kernel"] for i in range(3)]
    refine = params["params"]["_Refine_0"]["Dense_0"]
    states = encode(params, signals)
    for t in (0, 3, 22):
        query, key, value = (signals[max(t - 5, 0) : t + 1] @ kernel for kernel in kernels)
        weights = np.exp(query @ key.T / np.sqrt(8))
        rows = weights / weights.sum(-1, keepdims=True) @ value
        expected = jax.nn.gelu(rows[-1] @ refine["kernel"] + refine["bias"])
        np.testing.assert_allclose(states[t], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["transformer", "gru", "eq3"])
def test_bfloat16_activations_give_nearly_the_same_float32_states(kind):
    _, encode, params, signals = build(kind, dict(window=8, layers=1))
    _, coarse, _, _ = build(kind, dict(window=8, layers=1, dtype=jnp.bfloat16))
    states = coarse(params, signals)
    assert states.dtype == jnp.float32
    np.testing.assert_allclose(states, encode(params, signals), atol=0.1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(kind="transfromer"), "unknown encoder 'transfromer'; did you mean 'transformer'"),
        (
            dict(kind="transformer", features=10, heads=4),
            "features=10 must be a multiple of heads=4",
        ),
        (dict(kind="eq3", window=0), "window=0 must be at least 1"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        make_encoder(**arguments)


def test_mlp_starts_near_zero_whatever_the_input():
    net, signals = (
        MLP((16, 16), 3),
        np.random.default_rng(0).normal(size=(4, 50, 6)).astype(np.float32),
    )
    out, _ = jax.jit(net.init_with_output)(jax.random.key(1), signals)
    assert out.shape == (4, 50, 3)
    assert 0 < np.abs(out).max() < 0.5


def test_mlp_without_hidden_layers_is_linear():
    net, signals = MLP((), 2), np.ones((5, 3), np.float32)
    params = jax.jit(net.init)(jax.random.key(0), signals)
    np.testing.assert_allclose(
        net.apply(params, 2 * signals), 2 * net.apply(params, signals), rtol=1e-6
    )


def test_mlp_names_an_unknown_activation():
    with pytest.raises(UserError, match="unknown activation 'relo'; did you mean 'relu'"):
        MLP((8,), 1, "relo")
