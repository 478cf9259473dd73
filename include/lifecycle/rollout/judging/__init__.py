"""From what was seen to verdicts: measurements by arm, hard limits, safe tests, other evidence."""
