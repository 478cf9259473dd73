"""Security monitoring: who was refused, who bursts, who copies the model, who probes it. See docs/monitoring-security.md."""
