"""From open signals to acts: the retraining policy, the arbiter that applies it, and the sweep of what nobody claimed."""
