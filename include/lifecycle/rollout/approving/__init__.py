"""Who must say yes before traffic moves, and what a yes is worth."""
