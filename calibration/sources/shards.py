"""WebDataset tar shards, local or in S3-compatible storage, with brace expansion."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from calibration import s3
from calibration.sample import Found, Sample
from calibration.sources import Keys
from runtime.errors import UsageError

IMAGES, LABELS = ("jpg", "jpeg", "png", "webp"), ("cls", "txt")


def find(data: str, keys: Keys, seed: int) -> Found:
    """Shards in an order that the seed decides, so that a few of them stand for all."""
    try:
        from webdataset.shardlists import expand_urls
    except ImportError as why:
        raise UsageError(f"tar shards need webdataset: pip install 'splitport[export]' ({why})") from why
    urls = sorted(cast("list[str]", expand_urls(data)))
    for url in urls:
        if not url.startswith("s3://") and not Path(url).is_file():
            raise UsageError(f"{url} is not a file; {len(urls)} shards were asked for as {data}")
    random.Random(seed).shuffle(urls)
    found = Found(lambda: _samples(urls, keys, found.damaged), parts=len(urls))
    return found


def _samples(urls: list[str], keys: Keys, damaged: list[str]) -> Iterator[Sample]:
    for url in urls:
        name = url.rsplit("/", 1)[-1]
        with s3.reader(url) if url.startswith("s3://") else Path(url).open("rb") as stream:
            for fields in _groups(stream, name, damaged):
                image = _first(fields, (keys.image,) if keys.image else IMAGES)
                label = _first(fields, (keys.label,) if keys.label else LABELS)
                if image is not None:
                    yield Sample(f"{name}/{fields['__key__']}", image, _label(label))


def _groups(stream: BinaryIO, name: str, damaged: list[str]) -> Iterator[dict[str, Any]]:
    """Files of a shard with the same key; what a damaged shard held until it broke off is used."""
    from webdataset.tariterators import group_by_keys, tar_file_expander

    def note(why: Exception) -> bool:
        if isinstance(why, UsageError):
            raise why
        reason = str(why.args[0] if why.args else why).split(" @ ")[0]
        if not any(line.startswith(f"{name}: ") for line in damaged):
            damaged.append(f"{name}: {reason or type(why).__name__}")
        return False

    yield from group_by_keys(tar_file_expander([{"url": name, "stream": stream}], handler=note), handler=note)


def _first(fields: dict[str, Any], names: tuple[str, ...]) -> bytes | None:
    return next((fields[name] for name in names if name in fields), None)


def _label(content: bytes | None) -> str | int | None:
    if content is None:
        return None
    text = content.decode("utf-8", "replace").strip()
    return int(text) if text.isdecimal() else text
