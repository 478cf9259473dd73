"""`python -m include.lifecycle.migrations`: creates or updates the tables in the database that MODELOPS_DATABASE_URL names.

The embedded stack does so at each start; an installation of its own calls this before a new version runs.
"""

from __future__ import annotations

import sys

from include.lifecycle.errors import LifecycleError
from include.lifecycle.migrations import upgrade
from include.settings import settings


def main() -> int:
    """Bring the tables up to date; exit code 1 with one message when the database does not answer."""
    try:
        upgrade(settings().database_url, settings().passfile)
    except LifecycleError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
