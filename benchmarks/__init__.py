"""Benchmarks of stated claims: `make bench`. Each claim is a module with SIZES, TINY and `run`; the product imports none."""
