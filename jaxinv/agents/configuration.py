"""The hyper-parameters of every learner, checked when they are given."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from jaxinv.agents.advice import PENALTIES, check_penalty
from jaxinv.agents.agent import traced
from jaxinv.agents.divided import check_roles
from jaxinv.errors import UserError, unknown
from jaxinv.limits import check_numbers
from jaxinv.nets.mlp import ACTIVATIONS
from jaxinv.policies.ready import READY


@dataclass(frozen=True)
class LearnerConfig:
    """Hyper-parameters of every learner. Numbers marked `traced` can be swept in one compiled
    program.

    Attributes:
      updates, envs, rollout: length of training, environments side by side, and periods of one
        rollout: at most those of an episode where it ends for good or its demand is recorded, for
        nothing is invented after an end.
      encoder: "transformer", "gru", "eq3" (the literal equations of seed 000), "last", "stack" (the
        window as it is), "known" (covariates alone), "relative" (sales in units of themselves,
        `jaxinv.policies.relative`), or "none": stock alone.
      init: what the network begins as: "fresh"; "ready", the policy that ships
        (`jaxinv.policies.ready`), for encoder=relative, and the training then ends with what costs
        less on what it was not shown, that policy or what it became; or the name of a run, whose
        network it takes over.
      init_layers: how many first layers of each perceptron it takes over, encoders included, while
        the rest is fresh (`jaxinv.agents.transfer`); None for all of the network.
      signals: names of what the encoder reads, such as "demand" and "promotion", or "@" and an
        owner ("@calendar"); empty for all that is known (`InventoryNetwork.signals`).
      features, heads, layers: of the encoder; it looks back over the history of the environment.
      hidden, activation: of actor and critic.
      form: decode form, see `jaxinv.policies.decode`.
      allocation: how edges that draw on a node share its stock, "rationing" or "softmax", see
        `jaxinv.policies.allocation`.
      window_by_window: encode one window a decision instead of the trace once.
      penalty: on straying from a classical teacher, "reward", "level", "potential" or "actor", see
        `jaxinv.agents.advice`; "none" for no teacher.
      preferences: every episode weighs the objectives of the network by a preference of its own,
        which the policy sees; it then acts at any wanted one (`jaxinv.envs.objectives`).
      roles: how agents share the network, see `jaxinv.agents.divided`: "one" for a planner of
        everything, "nodes" for an agent at each node, or a name that the preset knows
        (`Problem.roles`).
      information: what agents see: "own", as their roles say, or "shared", all of it.
      parameters: of agents' networks: "apart", each its own, or "shared", the same for all, which
        are then told who they are.
      learns: names of the roles that learn; empty for all.
      partners: the rule, with its numbers in product units, by which the others decide, such as
        "base_stock(level=[8, 8, 0, 0])".
      max_grad_norm: gradients longer than this are cut to it.
      learning_rate, final_learning_rate: Adam, cosine from one to the other.
      team_share: of the team's mean reward in that of each agent: 1, all for one, to 0, each for
        the costs of its own.
      penalty_weight, penalty_decay: kappa of the penalty, and the factor on that of "actor" after
        every update.
    """

    updates: int = 160
    envs: int = 64
    rollout: int = 90
    encoder: str = "transformer"
    init: str = "fresh"
    init_layers: int | None = None
    signals: tuple[str, ...] = ()
    features: int = 32
    heads: int = 4
    layers: int = 2
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    form: str = "base"
    allocation: str = "rationing"
    window_by_window: bool = False
    penalty: str = "none"
    preferences: bool = False
    roles: str = "one"
    information: str = "own"
    parameters: str = "apart"
    learns: tuple[str, ...] = ()
    partners: str = ""
    max_grad_norm: float = 1.0
    learning_rate: float = traced(1e-3)
    final_learning_rate: float = traced(3e-5)
    team_share: float = traced(1.0)
    penalty_weight: float = traced(0.1)
    penalty_decay: float = traced(0.99)

    relative: ClassVar[bool] = False
    """Whether the algorithm can train the policy of encoder=relative, which decides order by
    order.
    """
    aligned_rewards: ClassVar[bool | None] = False
    """Whether rewards stand beside the orders they are for (`jaxinv.agents.alignment`): an option
    of learners from rewards.
    """
    counts: ClassVar[tuple[str, ...]] = ("updates", "envs", "rollout")
    """Whole numbers that must be at least 1."""
    shares: ClassVar[tuple[str, ...]] = ()
    """Numbers that must lie in 0..1."""
    signed: ClassVar[tuple[str, ...]] = ()
    """Numbers that may be below 0."""
    penalties: ClassVar[tuple[str, ...]] = PENALTIES[1:]
    """Penalties that the algorithm has a use for."""
    stock_only: ClassVar[dict[str, Any]] = dict(encoder="none")
    """Hyper-parameters that suit presets whose demand has no history worth reading: a small MLP on
    stock alone.
    """
    suits: ClassVar[dict[str, dict[str, Any]]] = {}
    """Hyper-parameters that suit one preset, by its name."""
    foretold: ClassVar[tuple[str, ...]] = ("two_warehouses",)
    """Presets without history whose forecasts are worth reading all the same."""

    @classmethod
    def suited(cls, env: str, history: int) -> Self:
        """The configuration that suits a preset.

        Args:
          env: name of the preset; history: periods of demand that its policies see unless told
            otherwise.
        """
        if env in cls.suits or history > 1:
            return cls(**cls.suits.get(env, {}))
        return cls(**cls.stock_only | ({"encoder": "last"} if env in cls.foretold else {}))

    @property
    def takes_over(self) -> bool:
        """Whether it begins with what a run has learned."""
        return self.init not in ("fresh", READY)

    def __post_init__(self):
        check_numbers(self)
        for name in self.counts:
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} must be at least 1")
        if self.activation not in ACTIVATIONS:
            raise unknown("activation", self.activation, ACTIVATIONS)
        if self.encoder == "relative" and not self.relative:
            raise UserError("encoder=relative is trained by agent=diffsim; give that, or another")
        if self.init_layers is not None and (self.init_layers < 1 or not self.takes_over):
            raise UserError(
                f"init_layers={self.init_layers} are first layers, at least 1, that init=RUN takes"
                " over; give the name of a run, or leave it out"
            )
        if self.init == READY and self.encoder != "relative":
            raise UserError("init=ready goes on with a policy of encoder=relative; give that too")
        if any(width < 1 for width in self.hidden):
            raise UserError(f"hidden={self.hidden}: every width must be at least 1")
        for field in fields(self):
            value = getattr(self, field.name)
            if (
                field.type in (int, float)
                and field.name not in self.signed
                and value is not None
                and not value >= 0
            ):
                raise UserError(f"{field.name}={value} must be at least 0")
        for name in ("team_share", *self.shares):
            if (getattr(self, name) or 0) > 1:
                raise UserError(f"{name}={getattr(self, name)} must lie in 0..1")
        check_penalty(self)
        check_roles(self)
