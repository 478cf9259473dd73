"""What a version must show on a server of its own before it gets any traffic."""
