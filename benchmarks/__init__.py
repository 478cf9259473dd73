"""Benchmarks of stated claims: `make bench`. Each claim is a module with SIZES, TINY and `run`; none is imported by the product."""
