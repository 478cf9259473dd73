"""Rollouts: how a registered version takes over the traffic, step by step, and how it gives it back."""
