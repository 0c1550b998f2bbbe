"""The replay buffer is a ring: the latest items, drawn from uniformly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxinv.agents.replay import ReplayBuffer
from jaxinv.errors import UserError


def filled(added, count=2, capacity=8):
    """A buffer that saw the items 0, 1, 2, …, each a number and a vector of it."""
    replay = ReplayBuffer.empty({"number": jnp.int32(0), "vector": jnp.zeros(3)}, capacity)
    for start in range(0, added, count):
        number = jnp.arange(start, start + count)
        replay = replay.add(
            {"number": number, "vector": jnp.tile(number[:, None], (1, 3)).astype(jnp.float32)}
        )
    return replay


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 12), st.sampled_from([1, 2, 4]))
def test_it_holds_the_latest_items(times, count):
    added = times * count
    replay = filled(added, count)
    held = np.asarray(replay.items["number"])[: int(replay.size)]
    assert sorted(held) == [*range(max(added - 8, 0), added)]
    np.testing.assert_array_equal(replay.items["vector"][:, 0], replay.items["number"])


def test_every_item_that_is_there_is_drawn_equally_often_and_no_other():
    drawn = filled(added=6).sample(jax.random.key(0), 6000)
    counts = np.bincount(np.asarray(drawn["number"]), minlength=8)
    assert counts[6:].sum() == 0
    assert np.all(np.abs(counts[:6] - 1000) < 5 * np.sqrt(1000))
    np.testing.assert_array_equal(drawn["vector"][:, 1], drawn["number"])


def test_a_buffer_that_would_wrap_within_an_update_is_refused():
    with pytest.raises(UserError, match="capacity=8 must be a multiple of the 3 transitions"):
        filled(added=3, count=3)
