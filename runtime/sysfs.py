"""Reading what the kernel tells in small files, and nothing where it does not."""

from __future__ import annotations

from pathlib import Path

#: Where they are; tests put another folder here.
SYSTEM = Path("/sys")
PROCESSES = Path("/proc")


def text(file: Path) -> str | None:
    """A file's content; None where it is missing or forbidden."""
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return None


def number(file: Path) -> int | None:
    """A file's content where it is a whole number."""
    content = text(file)
    return int(content) if content and content.lstrip("-").isdecimal() else None


def numbers(folder: Path, pattern: str) -> list[int]:
    """Of all files that fit a pattern."""
    try:
        found = [number(file) for file in sorted(folder.glob(pattern))]
    except OSError:
        return []
    return [each for each in found if each is not None]
