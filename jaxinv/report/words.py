"""What rules, policies and parts of a cost are called where a manager reads, and a sentence on
each.
"""

from collections.abc import Mapping

from jaxinv.evaluation.service import TO_SERVICE
from jaxinv.policies.registry import FORECASTS
from jaxinv.policies.theirs import MIN_MAX, OWN_ORDERS

RULES: Mapping[str, tuple[str, str]] = {
    "base_stock": (
        "order up to a level",
        "Every period, order what brings stock on hand and on its way up to a fixed level.",
    ),
    "echelon_base_stock": (
        "order up to a level of the whole chain",
        (
            "Order what brings the stock of a place, and of all places that it supplies, up to a"
            " fixed level."
        ),
    ),
    "capped_base_stock": (
        "order up to a level, with a cap",
        "Order up to a fixed level, but never more than a cap in one period.",
    ),
    "s_S": (
        "min-max",
        "Once stock on hand and on its way falls to a minimum, order up to a maximum.",
    ),
    "r_nQ": (
        "reorder point with fixed lots",
        (
            "Once stock on hand and on its way falls to a reorder point, order as many lots of a"
            " fixed size as it takes."
        ),
    ),
    "constant_order": (
        "the same order every period",
        "Order the same quantity in every period, whatever was sold.",
    ),
    "dual_index": (
        "two levels, for a fast and a slow supplier",
        (
            "Order up to one level from the slow supplier, and up to a lower one from the fast"
            " supplier."
        ),
    ),
    "tailored_base_surge": (
        "a constant order and a level for surges",
        (
            "Order a constant quantity from the slow supplier, and what is then missing to a level"
            " from the fast one."
        ),
    ),
    "transshipment": (
        "order up to a level and share between places",
        (
            "Order up to a level, and move stock from places that have too much to places that have"
            " too little."
        ),
    ),
    "anchor_and_adjust": (
        "order what was sold, and adjust",
        "Order what demand is expected, and close a fixed share of the gap to the wanted stock.",
    ),
    "feature_base_stock": (
        "a level that moves with a known number",
        "Order up to a level that rises and falls with a number that is known ahead.",
    ),
    "newsvendor": (
        "forecast and safety stock",
        "Order up to the forecast until the next order arrives, and a safety stock on top of it.",
    ),
    "newsvendor_quantile": (
        "forecast and a safety stock by cost",
        "Order up to the quantile of forecast demand that the costs of each SKU ask for.",
    ),
}
"""Full name and a sentence of each rule that follows no forecast, or whose forecast is in its
name.
"""

FOLLOWING: Mapping[str, tuple[str, str]] = {
    "smoothing": (
        "a smoothed forecast",
        "Levels move with an average of the latest sales, in which recent ones count more.",
    ),
    "seasonal": (
        "a seasonal forecast",
        "Levels move with what was sold at the same time of the last season.",
    ),
    "regression": (
        "a regression forecast",
        "Levels move with a forecast from past sales, the calendar and what is known ahead.",
    ),
}

LEARNED: Mapping[str, str] = {
    "diffsim": "differentiable simulation", "ppo": "PPO", "ddpg": "DDPG", "sac": "SAC",
    "dqn": "DQN", "tabular_q": "Q-learning", "fdim": "a federated forecast",
    "gmrl": "graph multi-agent PPO", "srdqn": "shaped-reward DQN",
    "bc": "behaviour cloning", "cql": "conservative Q-learning",
    "mcq": "mildly conservative Q-learning", "decision_transformer": "Decision Transformer",
}  # fmt: skip

OTHERS: Mapping[str, tuple[str, str]] = {
    "optimal": (
        "the best that is possible",
        "The policy of which it is proven that no other costs less on average.",
    ),
    OWN_ORDERS: (
        "your own orders",
        "What was really ordered in these periods, played on the same demand from the same stock.",
    ),
    MIN_MAX: (
        "your own min-max",
        "The minimum and maximum that you order by today, played on the same demand.",
    ),
}

COST_PARTS: Mapping[str, tuple[str, str]] = {
    "holding": (
        "holding stock",
        "money tied up, space and handling of what lies in stock or is on its way",
    ),
    "shortage": ("demand not served", "what a unit of demand costs that finds no stock"),
    "ordering": ("ordering", "purchase, and the fixed cost of an order"),
    "transport": ("transport", "freight, by quantity"),
    "duty": ("duty", "import duty"),
    "returns": ("returns", "handling of what customers send back, less what it is sold for"),
    "expiry": ("expired goods", "what goes past its shelf life"),
    "overflow": ("space above capacity", "what does not fit into a location"),
    "revenue": ("sales earned", "what sales bring in; it counts against the costs"),
    "loss": ("lost on the way", "goods that were shipped and did not arrive"),
}
"""Name and explanation of each part of a cost (`jaxinv.envs.costs.COSTS`)."""

OWN = " per instance"


def full_name(policy: str, kind: str = "", agent: str = "") -> str:
    """The name that a manager reads for a policy of an evaluation; one that nobody knows is kept as
    it is.

    Args:
      policy, kind: as in the rows of an evaluation, such as "s_S_smoothing per instance" and
        "rule", or "ppo seed 1" and "policy".
      agent: the learner, where the evaluation is that of a training.
    """
    if kind == "policy":
        run, rule = _ended_with(policy)
        if rule:
            return f"{full_name(rule)}, which run {run} ended with"
        of = (
            policy.removeprefix(agent).strip()
            if policy == agent or policy.startswith(f"{agent} ")
            else policy
        )
        return f"the learned policy ({of})" if of else "the learned policy"
    if policy in OTHERS:
        return OTHERS[policy][0]
    known = _rule(policy.removesuffix(OWN).removesuffix(TO_SERVICE))
    how = (
        ", set for each SKU"
        if policy.endswith(OWN)
        else ", set to the wanted service"
        if policy.endswith(TO_SERVICE)
        else ""
    )
    return policy if known is None else known[0] + how


def explained(policy: str, kind: str = "", agent: str = "") -> str:
    """A sentence on what a policy does; empty for one that nobody knows. Arguments as of
    `full_name`.
    """
    if kind == "policy":
        rule = _ended_with(policy)[1]
        how = f" by {LEARNED.get(agent, agent)}" if agent else ""
        return (
            explained(rule)
            if rule
            else (
                f"A network, trained{how}, that reads past sales, the calendar and stock and says"
                " what to order."
            )
        )
    if policy in OTHERS:
        return OTHERS[policy][1]
    known = _rule(policy.removesuffix(OWN).removesuffix(TO_SERVICE))
    own = " Its numbers are set for each SKU by itself." if policy.endswith(OWN) else ""
    own = (
        " Its numbers are set for each wanted fill rate by itself."
        if policy.endswith(TO_SERVICE)
        else own
    )
    return known[1] + own if known else ""


def _ended_with(policy: str) -> tuple[str, str]:
    """The run and the rule of a run that ended with a rule; the rule is empty for one that ended
    with its network.
    """
    run, _, rule = policy.removesuffix(")").partition(" (")
    return (run, rule) if policy.endswith(")") and _rule(rule.removesuffix(OWN)) else (policy, "")


def cost_part(name: str) -> str:
    """What a part of a cost is called."""
    return COST_PARTS[name][0] if name in COST_PARTS else name


def _rule(name: str) -> tuple[str, str] | None:
    if name in RULES:
        return RULES[name]
    for suffix in FORECASTS:
        rule = name.removesuffix(f"_{suffix}")
        if rule != name and rule in RULES and suffix in FOLLOWING:
            title, sentence = RULES[rule]
            forecast, moves = FOLLOWING[suffix]
            return f"{title}, on {forecast}", f"{sentence} {moves}"
    return None
