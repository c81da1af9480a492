"""Calibration pictures from every kind of data, from a real S3 server on loopback too, and what can be broken."""

from __future__ import annotations

import io
import json
import shutil

import boto3
import numpy as np
import pytest
import webdataset
from moto.server import ThreadedMotoServer
from PIL import Image

from calibration import Keys, Selection, choose
from calibration.commands import main
from encoders.drawn import draw
from runtime.errors import UsageError
from runtime.preprocess import to_pixels

CLASSES = ("bonsai", "crab", "watch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four pictures of each class."""
    root = tmp_path_factory.mktemp("data") / "pictures"
    for index, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for seed in range(4):
            Image.fromarray(draw(10 * index + seed, 96)).save(root / name / f"{seed}.png")
    return root


@pytest.fixture(scope="module")
def shards(folder, tmp_path_factory):
    """Three shards of four samples, written by webdataset itself."""
    root = tmp_path_factory.mktemp("shards")
    for number, name in enumerate(CLASSES):
        with webdataset.TarWriter(str(root / f"train-{number:06d}.tar")) as writer:
            for seed in range(4):
                content = (folder / name / f"{seed}.png").read_bytes()
                writer.write({"__key__": f"{name}{seed}", "png": content, "cls": number, "url.txt": "somewhere"})
    return root


def selection(data, count=6, **more):
    return Selection(str(data), count, **more)


def test_choice_depends_on_names_and_seed_alone(folder, tmp_path):
    first = choose(selection(folder), 64)
    shutil.copytree(folder, tmp_path / "elsewhere")
    again = choose(selection(tmp_path / "elsewhere"), 64)
    assert first.names == again.names and first.sha256 == again.sha256 and len(first.pixels) == 6
    assert choose(selection(folder, seed=1), 64).names != first.names
    assert choose(selection(folder, 3), 64).names == first.names[:3], "fewer are the first of more"
    for name, pixels, label in zip(first.names, first.pixels, first.labels, strict=True):
        assert np.array_equal(pixels, to_pixels(folder / name, 64)) and label == name.split("/")[0]
    assert first.provenance() == {"kind": "folder", "count": 6, "seed": 0, "skipped": 0, "sha256": first.sha256}


def test_a_folder_without_classes_tells_none(folder):
    chosen = choose(selection(folder / "crab", 99), 64)
    assert len(chosen.pixels) == 4 and chosen.labels == [None] * 4


def test_broken_pictures_are_named_and_replaced(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "data")
    victim = choose(selection(folder), 64).names[2]
    (tmp_path / "data" / victim).write_bytes(b"no picture")
    chosen = choose(selection(tmp_path / "data"), 64)
    assert len(chosen.pixels) == 6 and victim not in chosen.names
    assert len(chosen.skipped) == 1 and victim in chosen.skipped[0] and chosen.provenance()["skipped"] == 1


def test_npz(tmp_path):
    pixels = np.stack([draw(seed, 64) for seed in range(5)])
    np.savez(tmp_path / "usual.npz", images=pixels, labels=np.arange(5))
    chosen = choose(selection(tmp_path / "usual.npz", 3), 64)
    for name, picture, label in zip(chosen.names, chosen.pixels, chosen.labels, strict=True):
        assert label == int(name) and np.array_equal(picture, pixels[int(name)])
    np.savez(tmp_path / "own.npz", photos=pixels, kinds=np.array(list("abcde")))
    named = choose(selection(tmp_path / "own.npz", 3, keys=Keys("photos", "kinds")), 64)
    assert named.names == chosen.names and set(named.labels) <= set("abcde") and named.sha256 == chosen.sha256
    assert choose(selection(tmp_path / "own.npz", 3, keys=Keys("photos")), 64).labels == [None] * 3


def test_shards_with_braces(shards, folder):
    chosen = choose(selection(shards / "train-{000000..000002}.tar", 7), 64)
    assert len(chosen.names) == 7 and chosen.kind == "shards" and not chosen.skipped
    for name, pixels, label in zip(chosen.names, chosen.pixels, chosen.labels, strict=True):
        shard, key = name.split("/")
        assert label == int(shard[-5]) and key.startswith(CLASSES[label])
        assert np.array_equal(pixels, to_pixels(folder / CLASSES[label] / f"{key[-1]}.png", 64))
    texts = choose(selection(shards / "train-000001.tar", keys=Keys("png", "url.txt")), 64)
    assert texts.labels == ["somewhere"] * 4


def test_of_many_shards_a_few_are_read(shards, monkeypatch):
    """One picture needs no more than a shard or so; which one, the seed decides."""
    monkeypatch.setattr("calibration.choice._ENOUGH", 4)
    seen = {choose(selection(shards / "train-{000000..000002}.tar", 1, seed=s), 64).names[0][:12] for s in range(12)}
    assert len(seen) == 3


def test_a_truncated_shard_is_named_and_its_beginning_used(shards, tmp_path):
    for shard in shards.iterdir():
        shutil.copy(shard, tmp_path)
    victim = tmp_path / "train-000001.tar"
    victim.write_bytes(_cut(victim))
    chosen = choose(selection(tmp_path / "train-{000000..000002}.tar", 99), 64)
    assert len(chosen.skipped) == 1 and chosen.skipped[0].startswith("train-000001.tar: ")
    kept = [name for name in chosen.names if name.startswith("train-000001")]
    assert 1 <= len(kept) <= 3 and len(chosen.names) == 8 + len(kept)


def _cut(path):
    content = path.read_bytes()
    return content[: int(len(content) * 0.6)]


def test_a_broken_picture_in_a_shard_is_named(shards, tmp_path):
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as writer:
        writer.write({"__key__": "good", "jpg": _jpeg(), "cls": 3})
        writer.write({"__key__": "bad", "jpg": _jpeg()[:200], "cls": 3})
        writer.write({"__key__": "empty", "jpg": b"", "cls": 3})
        writer.write({"__key__": "other", "txt": "no picture"})
    chosen = choose(selection(tmp_path / "a.tar"), 64)
    assert chosen.names == ["a.tar/good"] and chosen.labels == [3]
    assert sorted(line.split()[0].rstrip(":") for line in chosen.skipped) == ["a.tar/bad", "a.tar/empty"]


def _jpeg():
    file = io.BytesIO()
    Image.fromarray(draw(1, 96)).save(file, "jpeg")
    return file.getvalue()


@pytest.fixture(scope="module")
def storage(shards):
    """A real server that speaks S3 on a free port of loopback, with the shards in it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_S3_ADDRESSING_STYLE", "path")
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="photos")
        for shard in shards.iterdir():
            client.put_object(Bucket="photos", Key=f"val/{shard.name}", Body=shard.read_bytes())
        client.put_object(Bucket="photos", Key="val/cut.tar", Body=_cut(shards / "train-000000.tar"))
        yield f"{host}:{port}"
    server.stop()


def test_s3_gives_what_the_files_give(storage, shards, monkeypatch):
    local = choose(selection(shards / "train-{000000..000002}.tar", 5), 64)
    remote = choose(selection("s3://photos/val/train-{000000..000002}.tar", 5), 64)
    assert (remote.names, remote.labels, remote.sha256) == (local.names, local.labels, local.sha256)
    monkeypatch.setenv("AWS_ENDPOINT_URL", storage)  # without a scheme, as some write it
    monkeypatch.setenv("AWS_USE_SSL", "0")
    assert choose(selection("s3://photos/val/train-000001.tar", 2), 64).kind == "shards"


def test_a_truncated_object_is_named(storage):
    chosen = choose(selection("s3://photos/val/cut.tar", 9), 64)
    assert chosen.skipped[0].startswith("cut.tar: ") and chosen.names


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("s3://photos/val/none.tar", "bucket photos has no object val/none.tar"),
        ("s3://albums/val/train-000000.tar", "there is no bucket albums"),
        ("s3://photos/val/train-{000002..000003}.tar", "has no object val/train-000003.tar"),
    ],
)
def test_what_storage_does_not_have_is_one_clear_error(storage, data, message):
    with pytest.raises(UsageError, match=message):
        choose(selection(data, 99), 64)


def test_storage_that_does_not_answer(monkeypatch, storage):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UsageError, match=r"Could not connect.*AWS_ENDPOINT_URL"):
        choose(selection("s3://photos/a.tar"), 64)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UsageError, match="Unable to locate credentials"):
        choose(selection("s3://photos/a.tar"), 64)


def test_data_that_cannot_be_used(tmp_path, shards):
    np.savez(tmp_path / "float.npz", images=np.zeros((2, 8, 8, 3), np.float32))
    np.savez(tmp_path / "names.npz", photos=np.zeros((2, 8, 8, 3), np.uint8))
    np.savez(tmp_path / "short.npz", images=np.zeros((2, 8, 8, 3), np.uint8), labels=np.zeros(3))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "float.npz").read_bytes()[:90])
    (tmp_path / "not.tar").write_text("not a tar file at all")
    (tmp_path / "void").mkdir()
    cases = {
        "float.npz": "must be uint8",
        "names.npz": "has no array images or x or arr_0; it has photos",
        "short.npz": r"labels for 2 pictures",
        "cut.npz": "truncated or not a NumPy archive",
        "absent.npz": "is not a file",
        "not.tar": "no picture could be read; the first: not.tar: ",
        "absent-{0..3}.tar": "absent-0.tar is not a file; 4 shards were asked for",
        "void": "holds no pictures",
    }
    for name, message in cases.items():
        with pytest.raises(UsageError, match=message):
            choose(selection(tmp_path / name), 64)
    with pytest.raises(UsageError, match="--image-key"):
        choose(selection(shards / "train-000000.tar", keys=Keys("jpeg")), 64)
    with pytest.raises(UsageError, match="at least 1 picture"):
        choose(selection(tmp_path, 0), 64)


def test_inspect_tells_people_and_machines(folder, capsys):
    assert main(["inspect", str(folder), "--count", "6", "--size", "64"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"6 pictures of {folder} (folder), seed 0; ") and "classes, for example bonsai" in out
    assert main(["inspect", str(folder), "--count", "6", "--size", "64", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["count"] == 6 == sum(told["classes"].values()) and told["sha256"] in out
    assert main(["inspect", str(folder / "none")]) == 2
    assert "neither a picture nor a folder" in capsys.readouterr().err
