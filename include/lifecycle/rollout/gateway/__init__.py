"""The Envoy in front of the model servers: what a model's traffic means, its configuration, its log."""
