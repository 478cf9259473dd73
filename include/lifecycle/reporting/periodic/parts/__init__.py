"""The parts of a model's report, each a function Material -> Part in a module of its own; contents.py puts them in order."""
