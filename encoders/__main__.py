"""``python -m encoders``."""

import sys

from encoders.commands import main

if __name__ == "__main__":
    sys.exit(main())
