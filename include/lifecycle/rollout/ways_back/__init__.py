"""Going back from outside a rollout, and the kill switch."""
