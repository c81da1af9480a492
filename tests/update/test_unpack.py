"""Sources of bundles that are not what they should be: nothing on the device changes."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile

import pytest

from runtime import unpack as unpacking
from runtime.bundle import Bundle
from runtime.commands import main
from runtime.errors import BundleError, UsageError
from runtime.update import VERSIONS, update
from tests.update.helpers import archive, giving, tree, whole


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize("below", ["", "one/"])
def test_archives(link, bundles, tmp_path, suffix, below):
    update(link, str(archive(bundles[0], tmp_path / f"bundle{suffix}", below)), whole)
    assert Bundle.open(link).manifest == Bundle.open(bundles[0]).manifest


def test_download(link, bundles, tmp_path, serve, capsys):
    content = archive(bundles[0], tmp_path / "bundle.tar.gz").read_bytes()
    url, digest = serve(giving(content)), hashlib.sha256(content).hexdigest()
    assert main(["update", str(link), url]) == 0
    assert "without --sha256" in capsys.readouterr().err
    assert main(["update", str(link), url, "--sha256", digest]) == 0
    assert capsys.readouterr().err == ""


def test_downloads_that_fail(link, bundles, tmp_path, serve):
    update(link, str(bundles[0]), whole)
    before = tree(link.parent)
    content = archive(bundles[1], tmp_path / "bundle.tar.gz").read_bytes()
    half = content[: len(content) // 2]

    def unbounded(handler) -> None:  # no length announced: only the archive itself knows
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(half)

    def elsewhere(handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", "ftp://127.0.0.1:9/x.tar")
        handler.end_headers()

    for answer, sha256, said in (
        (giving(half, len(content)), None, "broke off|cannot fetch"),
        (unbounded, None, "no whole .tar"),
        (giving(content), "0" * 64, f"has SHA-256 {hashlib.sha256(content).hexdigest()}, not 0000"),
        (giving(b"<html>moved</html>"), None, "no whole .tar"),
        (lambda handler: handler.send_error(404), None, "Not Found"),
        (elsewhere, None, "cannot fetch"),
    ):
        with pytest.raises(BundleError, match=said):
            update(link, serve(answer), whole, sha256=sha256)
        assert tree(link.parent) == before
    with pytest.raises(BundleError, match="cannot fetch"):
        update(link, "http://127.0.0.1:9/x.tar", whole)


def test_a_redirect_to_less_safety(link, monkeypatch):
    class Answer(io.BytesIO):
        url = "http://elsewhere/bundle.tar"

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: Answer())
    with pytest.raises(BundleError, match=r"sends on to .*, which is less safe"):
        update(link, "https://here/bundle.tar", whole)


def members(*infos: tuple[str, bytes, dict]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content, more in infos:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in more.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (members(("../outside", b"x", {})), "'../outside' is not inside"),
        (members(("a/../../outside", b"x", {})), "is not inside"),
        (members(("/outside", b"x", {})), "'/outside' is not inside"),
        (members(("a\\outside", b"x", {})), "is not inside"),
        (members((".", b"x", {})), "is not inside"),
        (members(("a", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc"}), ("a/b", b"x", {})), "'a', which is no"),
        (members(("a", b"", {"type": tarfile.LNKTYPE, "linkname": "/etc/hostname"})), "'a', which is no plain file"),
        (members(("a", b"", {"type": tarfile.FIFOTYPE})), "no plain file"),
        (members(("a", b"", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3})), "no plain file"),
        (members(("a", b"x", {}), ("./a", b"y", {})), "'./a' is there twice"),
        (members(("a", b"x", {}), ("a/b", b"y", {})), "'a/b' lies below a file|'a/b' is there twice"),
        (members(*[(f"{i}", b"", {}) for i in range(1001)]), "more than 1000 files"),
        (members(("a", b"x" * 2_000_000, {})), "more than 1,000,000 bytes"),
        (gzip.compress(bytes(5_000_000)), "more than 1,000,000 bytes"),
        (members(("a", b"x", {})), "holds no bundle"),
        (b"", "no whole .tar"),
        (b"\x1f\x8b", "no whole .tar"),
        (members(("a", b"x" * 2000, {}))[:1200], "no whole .tar"),
    ],
    ids=["up", "further up", "absolute", "backslash", "nothing", "symlink", "hardlink", "fifo", "device", "twice",
         "below a file", "many", "large", "gzip bomb", "no bundle", "empty", "two bytes", "cut"],
)  # fmt: skip
def test_hostile_archives(link, bundles, tmp_path, monkeypatch, content, said):
    update(link, str(bundles[0]), whole)
    before = tree(tmp_path)
    (tmp_path / "hostile.tar").write_bytes(content)
    monkeypatch.setattr(unpacking, "MOST_BYTES", 1_000_000)
    with pytest.raises(BundleError, match=said):
        update(link, str(tmp_path / "hostile.tar"), whole)
    (tmp_path / "hostile.tar").unlink()
    assert tree(tmp_path) == before and not list((link.parent / VERSIONS).glob(".incoming*"))


def test_a_file_with_holes_is_not_unpacked(link, tmp_path):
    """A few hundred bytes of archive that would fill a disk."""
    holes = {"GNU.sparse.size": str(1 << 40), "GNU.sparse.map": f"0,0,{1 << 40},0"}
    content = members(("a", b"", {"pax_headers": holes}))
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert tar.getmembers()[0].issparse()
    (tmp_path / "holes.tar").write_bytes(content)
    with pytest.raises(BundleError, match="no plain file"):
        update(link, str(tmp_path / "holes.tar"), whole)


def test_folders_that_are_no_bundle(link, bundles, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bundles[0], copy)
    (copy / "more").symlink_to("/etc/hostname")
    with pytest.raises(BundleError, match="more is no plain file"):
        update(link, str(copy), whole)
    with pytest.raises(BundleError, match="it has no manifest"):
        update(link, str(tmp_path), whole)
    with pytest.raises(UsageError, match="is of an archive"):
        update(link, str(bundles[0]), whole, sha256="0" * 64)
    with pytest.raises(UsageError, match="no directory, no archive and no"):
        update(link, str(tmp_path / "missing"), whole)
    with pytest.raises(UsageError, match="is no address"):
        update(link, "http://[", whole)
