"""Rules between the keys of one YAML, one file per subject; each exports RULES, spec_rules.py runs them all."""
