"""Optima and bounds that learned policies are measured by."""

from jaxinv.exact.solve import Solution, solve

__all__ = ["Solution", "solve"]
