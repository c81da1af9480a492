"""``python -m profiling``."""

import sys

from profiling.commands import main

if __name__ == "__main__":
    sys.exit(main())
