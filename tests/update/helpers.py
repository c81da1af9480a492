"""What these tests say over and over."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

from runtime.bundle import MANIFEST, Bundle


def whole(bundle: Path) -> None:
    """Takes the place of the self-test where the test is of something else."""
    Bundle.open(bundle)


def tree(folder: Path) -> dict[str, str]:
    """Everything below a folder; where links lead, and what files hold."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink()
        else hashlib.sha256(path.read_bytes() if path.is_file() else b"").hexdigest()
        for path in sorted(folder.rglob("*")) if not path.name.startswith(".")
    }  # fmt: skip


def name_of(bundle: Path) -> str:
    return hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest()[:16]


def archive(bundle: Path, file: Path, below: str = "") -> Path:
    with tarfile.open(file, "w:gz" if file.suffix == ".gz" else "w") as tar:
        tar.add(bundle, below or ".")
    return file


def giving(content: bytes, announced: int | None = None):
    def answer(handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) if announced is None else announced))
        handler.end_headers()
        handler.wfile.write(content)

    return answer
