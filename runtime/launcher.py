"""The installed ``splitport`` command: every ``python -m`` line of this project under one name."""

from __future__ import annotations

import importlib
import importlib.util
import sys

from runtime.commands import COMMANDS
from runtime.commands import main as runtime_main

#: These live in packages that a device does not install, so they are looked up by name.
_PACKAGES = ("export", "calibration", "profiling", "encoders")


def main() -> int:
    """Hand over to the package that the first word names."""
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    packages = [name for name in _PACKAGES if importlib.util.find_spec(f"{name}.__main__")]
    if word in packages:
        code: int = importlib.import_module(f"{word}.commands").main(sys.argv[2:], prog=f"splitport {word}")
        return code
    if word in ("-h", "--help"):
        print(f"usage: splitport {{{','.join([*packages, *COMMANDS])}}} ...  (each has --help)")
        return 0
    return runtime_main(sys.argv[1:], prog="splitport")
