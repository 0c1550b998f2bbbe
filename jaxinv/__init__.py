"""Inventory control learned in a differentiable simulator, thousands of supply networks at once on JAX."""
