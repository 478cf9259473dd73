"""Checks of what came of the predictions: outcomes by group, business, labels, resources, traffic."""
