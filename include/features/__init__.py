"""Own feature code, one module per model: `transform(rows)` makes the features of a model's inputs (docs/validation.md)."""
