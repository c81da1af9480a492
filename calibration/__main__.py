"""``python -m calibration``."""

import sys

from calibration.commands import main

if __name__ == "__main__":
    sys.exit(main())
