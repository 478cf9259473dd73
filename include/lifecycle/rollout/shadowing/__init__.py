"""A shadow's answers beside the champion's: read as they are logged, paired by request, counted, and told on a page."""
