"""What would have happened: history replayed through monitoring, decision, training and gates, without touching anything."""
