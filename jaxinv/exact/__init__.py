"""Optima and bounds that learned policies are measured by."""

from jaxinv.exact.enumeration import Enumeration, enumerate_states
from jaxinv.exact.solve import Solution, solve, solve_problem

__all__ = ["Enumeration", "Solution", "enumerate_states", "solve", "solve_problem"]
