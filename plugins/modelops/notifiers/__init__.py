"""How people are told: one module per medium, and the one that picks it by the connection's type."""
