"""A learned policy whose memory and actor can be switched off (seed 000, section 4.5; methods D.1,
row 20).
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from jaxinv.nets.switched import SWITCHES
from jaxinv.policies.learned import LearnedPolicy


@dataclass(frozen=True)
class SwitchedPolicy(LearnedPolicy):
    """A `LearnedPolicy` on a `SwitchedActorCritic` with a `SwitchedEncoder`.

    - Without "state" a decision sees the last observation alone: last period's demand, the calendar
      and the stock. The mean demand of the window, the unit of all it orders, gives way to the
      typical demand of the instance.
    - Without "core" the policy is base-stock on the forecast head: every order goes up to a level
      times what the forecast uses over the coverage. The levels are tuned, not acted out by a
      network.

    With both on it decides exactly as a `LearnedPolicy` does.
    """

    def encode(self, params, signals, facts):
        if self.window_by_window:
            return None
        states, forecast = self.network.apply(params, self.tokens(signals, facts), method="encode")
        whole = self._context(states, forecast, signals, facts)
        last = replace(self, history=1)._context(states, forecast, signals, facts)
        switches = params[SWITCHES]
        context = jax.tree.map(
            lambda a, b: jnp.where(switches["encoder"]["state"] > 0, a, b), whole, last
        )
        rate = jnp.where(switches["core"] > 0, context.rates[..., 1], context.rates[..., 2])
        return context.replace(rates=context.rates.at[..., 1].set(rate))
