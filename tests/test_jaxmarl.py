"""What JaxMARL asks of an environment, on every network preset. Skipped where jaxmarl is not
installed.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from networks import each_network, made

import jaxinv

pytest.importorskip("jaxmarl", reason="jaxmarl is not installed: pip install 'jaxinv[marl]'")

from jaxmarl.environments import MultiAgentEnv  # noqa: E402
from jaxmarl.environments.spaces import Space  # noqa: E402
from jaxmarl.wrappers.baselines import LogWrapper  # noqa: E402

pytestmark = pytest.mark.usefixtures("quick_compilation")


@each_network
def test_jaxmarl_takes_every_network(network, levels):
    """The base API: a subclass, spaces of its own, observations within them, and five results of a
    step.
    """
    env = made(network, levels=levels)
    assert isinstance(env, MultiAgentEnv) and len(env.agents) == env.num_agents
    assert sorted(agent for of in env.agent_classes.values() for agent in of) == sorted(env.agents)
    for spaces, space in (
        (env.observation_spaces, env.observation_space),
        (env.action_spaces, env.action_space),
    ):
        assert list(spaces) == env.agents
        for agent in env.agents:
            assert isinstance(space(agent), Space) and space(agent) is spaces[agent]

    observations, state = env.reset(jax.random.key(0))
    actions = {agent: env.action_space(agent).sample(jax.random.key(1)) for agent in env.agents}
    for agent in env.agents:
        assert env.observation_space(agent).contains(observations[agent])
        assert env.action_space(agent).contains(actions[agent])
        assert observations[agent].shape == env.observation_space(agent).shape
    available = env.get_avail_actions(state)
    assert list(available) == env.agents and all(np.all(mask) for mask in available.values())
    assert env.get_world_state(state).shape == (env.world_state_size,)

    results = env.step(jax.random.key(2), state, actions)
    assert isinstance(results, tuple) and len(results) == 5
    following, after, rewards, dones, infos = results
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for agent in env.agents:
        assert env.observation_space(agent).contains(following[agent])
        assert rewards[agent].shape == dones[agent].shape == () and dones[agent].dtype == bool
    assert set(dones) == {*env.agents, "__all__"} and set(rewards) == set(env.agents)
    assert all(of.shape == (env.num_agents,) for of in infos.values())
    jax.tree.map(np.testing.assert_array_equal, env.get_obs(after), following)


def test_a_batch_of_keys_in_one_program():
    env = made("one warehouse", levels=3)
    keys = jax.random.split(jax.random.key(0), 5)

    @jax.jit
    def play(keys):
        _, states = jax.vmap(env.reset)(keys)
        actions = {agent: jax.vmap(env.action_space(agent).sample)(keys) for agent in env.agents}
        return jax.vmap(env.step)(keys, states, actions)

    many = play(keys)
    _, state = env.reset(keys[3])
    one = env.step(
        keys[3], state, {agent: env.action_space(agent).sample(keys[3]) for agent in env.agents}
    )
    jax.tree.map(
        lambda batch, alone: np.testing.assert_allclose(batch[3], alone, rtol=1e-5, atol=1e-5),
        many[2:],
        one[2:],
    )


class Seen(NamedTuple):
    """What a learner keeps of a period, for all actors side by side."""

    observation: jax.Array
    action: jax.Array
    chance: jax.Array
    reward: jax.Array
    done: jax.Array


def test_independent_learners_of_jaxmarl_learn():
    """Policy gradient with clipped ratios, its parameters shared by all agents, on `LogWrapper`:
    what a baseline of JaxMARL does with an environment. It learns to order less than random where
    stock costs nearly all."""
    env = LogWrapper(jaxinv.make_multi_agent(
        "serial", levels=4, pad=True, lead_times=(1, 1), holding_costs=(1.0, 1.0),
        shortage_cost=0.1, horizon=8
    ))  # fmt: skip
    envs, periods, updates = 16, 8, 25
    choices, size = env.action_space(env.agents[0]).n, env.observation_space(env.agents[0]).shape[0]

    def together(by_agent):
        return jnp.stack([by_agent[agent] for agent in env.agents]).reshape(
            envs * env.num_agents, -1
        )

    def logits(weights, observation):
        return jnp.tanh(observation / 20.0) @ weights

    optimiser = optax.adam(0.3)

    def update(carry, key):
        weights, moments, observations, state = carry

        def period(carry, key):
            observations, state = carry
            choose, play = jax.random.split(key)
            seen = together(observations)
            scores = logits(weights, seen)
            action = jax.random.categorical(choose, scores)
            by_agent = dict(zip(env.agents, action.reshape(env.num_agents, envs, 1)))
            observations, state, rewards, dones, infos = jax.vmap(env.step)(
                jax.random.split(play, envs), state, by_agent
            )
            infos = jax.tree.map(lambda of: of.reshape(envs * env.num_agents), infos)
            chance = jnp.take_along_axis(jax.nn.log_softmax(scores), action[:, None], -1)[:, 0]
            kept = Seen(seen, action, chance, together(rewards)[:, 0], together(dones)[:, 0])
            return (observations, state), (kept, infos["returned_episode_returns"].mean())

        (observations, state), (kept, returned) = jax.lax.scan(
            period, (observations, state), jax.random.split(key, periods)
        )

        def add(later, now):
            reward, done = now
            later = reward + 0.9 * later * (1 - done)
            return later, later

        _, gain = jax.lax.scan(
            add, jnp.zeros(envs * env.num_agents), (kept.reward, kept.done), reverse=True
        )
        gain = (gain - gain.mean()) / (gain.std() + 1e-8)

        def loss(weights):
            now = jnp.take_along_axis(
                jax.nn.log_softmax(logits(weights, kept.observation)), kept.action[..., None], -1
            )[..., 0]
            ratio = jnp.exp(now - kept.chance)
            return -jnp.minimum(ratio * gain, jnp.clip(ratio, 0.8, 1.2) * gain).mean()

        step, moments = optimiser.update(jax.grad(loss)(weights), moments)
        return (optax.apply_updates(weights, step), moments, observations, state), returned[-1]

    @jax.jit
    def train(key):
        observations, state = jax.vmap(env.reset)(jax.random.split(key, envs))
        weights = jnp.zeros((size, choices))
        carry = weights, optimiser.init(weights), observations, state
        return jax.lax.scan(update, carry, jax.random.split(key, updates))[1]

    returned = train(jax.random.key(0))
    assert np.all(np.isfinite(returned))
    assert returned[-5:].mean() > 0.7 * returned[:3].mean()  # rewards are minus costs
