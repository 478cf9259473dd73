"""Is this version good? Metrics, gates with evidence, and the comparison with the champion on identical rows."""
