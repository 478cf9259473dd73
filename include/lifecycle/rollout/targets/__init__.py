"""Where traffic and servers really are: one module per kind of target behind the Protocol in base.py."""
