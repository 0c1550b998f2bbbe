"""A network as an environment of JaxMARL: a `MultiAgentEnv`, with spaces of its own. Its package is
imported here alone.
"""

from jaxmarl.environments import MultiAgentEnv, spaces

from jaxinv.envs.division import Division
from jaxinv.envs.multi_agent import MultiAgentNetwork
from jaxinv.envs.network import InstanceParams


class JaxMARLNetwork(MultiAgentNetwork, MultiAgentEnv):
    __doc__ = MultiAgentNetwork.__doc__

    spaces = spaces

    def __init__(self, division: Division, params: InstanceParams):
        MultiAgentEnv.__init__(self, len(division.roles))
        MultiAgentNetwork.__init__(self, division, params)
