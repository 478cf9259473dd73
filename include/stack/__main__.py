"""`python -m include.stack`: the command line behind the Makefile."""

import sys

from include.stack.cli import main

sys.exit(main(sys.argv[1:]))
