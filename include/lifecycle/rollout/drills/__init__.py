"""The monthly drill: a canary that is broken on purpose, on a scratch model, and how fast it is sent back."""
