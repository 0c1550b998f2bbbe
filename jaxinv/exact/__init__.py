"""Optima and bounds: the truth that policies are judged by."""
