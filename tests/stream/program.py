"""The runtime's command line; a process of its own when started as a module."""

from __future__ import annotations

import sys

from runtime.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
