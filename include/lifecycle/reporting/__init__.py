"""What people read about models: the model card of each version, and the daily to quarterly reports."""
