"""Sources of a rollout's measurements beside the access log: gateway, Prometheus, prediction log, processes; one interface."""
