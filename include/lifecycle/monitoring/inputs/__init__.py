"""Further monitors of inputs: novelty, skew, roles of columns, joint changes, attributions, the season and slow creep."""
