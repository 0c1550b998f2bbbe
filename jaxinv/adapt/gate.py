"""The gate that a new policy passes before it acts: it must cost no more than the old one, by a
margin (methods D.3).

Both play the same noise. The new policy is promoted where the one-sided 95% upper bound of C_new /
C_old - 1 is at most the margin (non-inferiority), a ratio of sums over paths with the error of its
linearisation:

    r = sum c_new / sum c_old,   bound = r - 1 + 1.645 sd(c_new - r c_old) / (mean(c_old) sqrt(B))
"""

import jax
import jax.numpy as jnp
from flax import struct

MARGIN = 0.01
"""How much dearer a new policy may be, as a share of the old one's cost."""

ONE_SIDED = 1.645
"""Quantile of the normal law at 95%."""

STRICT = 2.576
"""The same at 99.5%, for what is judged every week: at 95% a policy that is no better would pass
twice a year.
"""


@struct.dataclass
class Verdict:
    """What the gate found; arrays, so that it can be given within a compiled program."""

    ratio: jax.Array  # [] C_new / C_old - 1
    bound: jax.Array  # [] its upper bound
    promoted: jax.Array  # [] bool

    def reason(self, who: str = "the student") -> str:
        """The verdict in a sentence."""
        found = (
            f"{who} costs {100 * float(self.ratio):+.2f}% beside the policy it would replace, at"
            f" most {100 * float(self.bound):+.2f}% with 95% confidence"
        )
        if bool(self.promoted):
            return f"{found}: promoted"
        return f"{found}, and {100 * MARGIN:g}% is allowed: not promoted"


def non_inferiority(
    new: jax.Array, old: jax.Array, margin: float = MARGIN, quantile: float = ONE_SIDED
) -> Verdict:
    """Whether a new policy may replace an old one.

    Args:
      margin: 0 where the new one has to be better.
      quantile: of the normal law, for the bound.
      new, old: costs of both on the same paths `[B]`, B at least 2. Where the old policy's costs do
        not add up to more than zero, or one of them is not a number, nothing is promoted.
    """
    ratio = new.sum() / old.sum()
    error = jnp.std(new - ratio * old, ddof=1) / (jnp.abs(old.mean()) * jnp.sqrt(old.shape[0]))
    bound = ratio - 1.0 + quantile * error
    return Verdict(ratio - 1.0, bound, (bound <= margin) & (old.sum() > 0))


def select(condition: jax.Array, yes, no):
    """One of two trees, by a condition `[]`."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
