"""Learners of others train on our environments as they come. Skipped where they are not installed:
pip install 'jaxinv[outside]'.
"""

import warnings

import jax
import numpy as np
import pytest

import jaxinv

pytestmark = pytest.mark.usefixtures("quick_compilation")
STORE = dict(lead_time=2, shortage_cost=9, horizon=20)


@pytest.mark.parametrize("learner, levels", [("PPO", None), ("SAC", None), ("DQN", 4)])
def test_stable_baselines3_trains_on_the_gymnasium_form(learner, levels):
    """After its own check of an environment, which has nothing to warn of."""
    sb3 = pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.env_checker import check_env

    env = jaxinv.make_gymnasium("lost_sales", scaled=True, levels=levels, **STORE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env)
    sizes = dict(n_steps=32, batch_size=32) if learner == "PPO" else dict(learning_starts=16)
    trained = getattr(sb3, learner)("MlpPolicy", env, device="cpu", seed=0, **sizes).learn(64)
    observation, _ = env.reset(seed=0)
    action, _ = trained.predict(observation, deterministic=True)
    assert action in env.action_space and env.step(action)[1] < 0


@pytest.mark.parametrize("learner, levels", [("ppo", None), ("dqn", 4)])
def test_rejax_trains_on_the_gymnax_form(learner, levels):
    rejax = pytest.importorskip("rejax")
    env, params = jaxinv.make_gymnax(
        "lost_sales", scaled=True, levels=levels, one_done=True, **STORE
    )
    sizes = dict(num_envs=4, num_steps=8, num_minibatches=2, num_epochs=1)
    if learner == "dqn":
        sizes = dict(num_envs=4, buffer_size=64, fill_buffer=16, batch_size=16)
    algorithm = rejax.get_algo(learner).create(
        env=env, env_params=params, total_timesteps=64, eval_freq=64,
        skip_initial_evaluation=True, **sizes,
    )  # fmt: skip
    _, (lengths, returns) = jax.jit(algorithm.train)(jax.random.key(0))
    assert np.all(np.asarray(lengths) == 20) and np.all(np.asarray(returns) < 0)
