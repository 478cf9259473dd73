"""Rollouts in words and pages, for the command line, REST and people."""
