"""``python -m time_execution``: the command line."""

from __future__ import annotations

import sys

from time_execution.cli import main

if __name__ == "__main__":
    sys.exit(main())
