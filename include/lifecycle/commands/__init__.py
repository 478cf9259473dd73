"""The command line's subcommands, one module each: `add_to(subparsers)` declares it, `run(arguments)` does it."""
