"""Operators: each calls one lifecycle function and hands on its small result."""
