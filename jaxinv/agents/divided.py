"""Several agents that learn beside one another on one network: what a configuration says of them,
and what of it is refused.

An agent is a role (`jaxinv.envs.roles`): it sees a part of the network, decides a part, and pays
for a part. All agents act at once, as one policy (`jaxinv.policies.divided`), and every algorithm
learns for each of them as it does for one planner:

    PPO        a surrogate, an advantage and a value for each agent (independent PPO; with
               team_share = 1 a team)
    DQN        the target of an order: its agent's reward, and the mean over that agent's own orders
               of what follows
    diffsim    each agent's parameters descend the cost that agent is rewarded with, through the one
               simulator
    DDPG, SAC  actors apart under critics of the joint action, which are rewarded as a team

The reward of agent g is r_g = share * team / G + (1 - share) * own_g, see `Roles.rewards`.
"""

from typing import Any

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.problem import Problem
from jaxinv.envs.roles import INFORMATION, Roles
from jaxinv.errors import UserError, unknown
from jaxinv.policies.divided import convene, divide
from jaxinv.policies.learned import LearnedPolicy
from jaxinv.policies.partners import Partners

PARAMETERS = ("apart", "shared")


def check_roles(config: Any) -> None:
    """Raises for what a `LearnerConfig` says of agents and cannot mean."""
    if config.information not in INFORMATION:
        raise unknown("information", config.information, INFORMATION)
    if config.parameters not in PARAMETERS:
        raise unknown("parameters", config.parameters, PARAMETERS)
    if config.roles == "one":
        for name, default in dict(
            information="own", parameters="apart", learns=(), partners="", team_share=1.0
        ).items():
            if getattr(config, name) not in (default, None):
                raise UserError(
                    f"{name}={getattr(config, name)} is of several agents, and roles=one has one"
                    " that plans everything; give roles=nodes or roles of the preset"
                )
    if bool(config.learns) != bool(config.partners):
        given, lacks = ("learns", "partners") if config.learns else ("partners", "learns")
        raise UserError(
            f"{given}={getattr(config, given)} leaves {lacks} open: name the roles that learn and"
            ' the rule of all others, such as learns=[store] partners="base_stock(level=10)"'
        )


def shared_out(
    policy: LearnedPolicy,
    problem: Problem,
    env: InventoryNetwork,
    config: Any,
    team_only: bool = False,
) -> LearnedPolicy:
    """The policy as the roles of a configuration share it out; the same where one agent sees,
    decides and pays for all.

    Args:
      team_only: the learner rewards all agents together (`Learner.team_only`).

    Raises:
      UserError: for unknown roles, or what the algorithm cannot learn with several.
    """
    topology = env.topology
    roles = Roles.named(config.roles, topology, problem.roles, config.information)
    coordinator = getattr(config, "coordinator", "none")  # of learners that have one
    learning = roles.only(config.learns) if config.learns else roles
    if roles.whole(topology):
        if coordinator != "none":
            raise UserError(
                f"coordinator={coordinator} is of several agents, and roles={config.roles} has one;"
                " leave it out"
            )
        return policy
    if config.learns and len(learning) == len(roles):
        raise UserError(
            f"learns={','.join(config.learns)} names all roles and leaves"
            f" partners={config.partners} nothing; leave both out"
        )
    if team_only and config.team_share < 1:
        raise UserError(
            f"team_share={config.team_share} rewards agents with costs of their own, and these"
            " critics judge what all do together; give team_share=1, or agent=ppo, dqn or diffsim"
        )
    if getattr(config, "pathwise", False) and config.team_share < 1:
        raise UserError(
            f"pathwise=true descends the cost of the team, and team_share={config.team_share}"
            " rewards agents with other costs too; give pathwise=false, or agent=diffsim"
        )
    if getattr(config, "action_values", False) and topology.has("dispositions"):
        raise UserError(
            "action_values are of order-up-to multipliers, and here dispositions are decided too;"
            " leave them out"
        )
    if coordinator != "none":
        return convene(
            policy, env, roles, coordinator, config.owner_weight, config.parameters == "shared"
        )
    partners = Partners.parse(config.partners, problem) if config.partners else None
    return divide(policy, env, learning, config.parameters == "shared", partners)
