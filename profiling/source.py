"""Which version of this project measured."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


@cache
def version() -> str:
    """As installed."""
    for name in ("splitport", "splitport-runtime"):  # the second is all that a device has
        try:
            return installed(name)
        except PackageNotFoundError:
            continue
    return "not installed"


@cache
def commit() -> str | None:
    """Of the checkout that this runs from, with ``+`` where it has changes; None elsewhere."""
    if not (_ROOT / ".git").exists():
        return None
    try:
        revision = _git("rev-parse", "--short=12", "HEAD")
        return revision + "+" * bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(_ROOT), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()
