"""A window as counts: cells of each watched column, sums per cell, nulls. Made where the rows lie, merged exactly, kept small.

scheme.py says what is counted, counts.py holds and merges it, arrays.py and engine.py count, distances.py measures, store.py
keeps it as `<storage>/windows/<model>/<version>/<window start>.npz`, which seasonal references are made of.
"""
