"""A/B and A/A tests: who met which version, what came of it, what the difference is, and the page that tells it."""
