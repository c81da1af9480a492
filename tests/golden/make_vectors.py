"""Write the conformance vectors that coders in other languages are held against.

    python -m tests.golden.make_vectors

The reference coder writes them; the tests check that every coder reproduces them. Run it only when the wire format
changes, which is a new version of the format.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from runtime.codecs import Message
from runtime.codecs.affine import AffineCodec
from runtime.coder.reference import ReferenceCoder, ReferenceContextCoder, ReferenceHyperCoder
from runtime.errors import CorruptBody
from runtime.payload import Payload, pack
from runtime.tables import TOTAL, Tables
from tests.messages import (
    flipped_words,
    random_contexts,
    random_hyper,
    random_symbols,
    random_tables,
    walk_along_zeros,
)

HERE = Path(__file__).parent


def cases() -> dict[str, tuple[Tables, np.ndarray, tuple[int, int]]]:
    """Name -> tables, symbols (channels, cells), grid."""
    small = Tables.build(
        [[TOTAL // 4, TOTAL // 2, TOTAL // 4 - 1, 1], [1, TOTAL - 5, 1, 1, 1, 1]],
        [-1, -1],
        [TOTAL // 2, TOTAL - TOTAL // 256],
        [0.5, -0.125],
    )
    rng = np.random.default_rng(2026)
    wide = random_tables(rng, 6)
    lopsided = Tables.build([[TOTAL // 3, TOTAL // 5, TOTAL - TOTAL // 3 - TOTAL // 5 - 1, 1]], [-1], [1])
    return {
        "all zero": (small, np.zeros((2, 6)), (2, 3)),
        "single symbol": (small, np.array([[1], [0]]), (1, 1)),
        "edges of the range": (small, np.array([[-1, 0, 1, 1], [-1, 3, 3, -1]]), (2, 2)),
        "one channel alive": (small, np.array([[0] * 12, [0] * 11 + [2]]), (3, 4)),
        "every position escapes": (small, np.array([[2, -2, 0x7FFF, -0x8000], [4, -2, 300, -300]]), (4, 1)),
        "words that carry": (lopsided, _carrying(lopsided), (4, 25)),
        "random": (wide, random_symbols(rng, wide, 63), (7, 9)),
        "random, wide tables": (wide, random_symbols(rng, wide, 20), (4, 5)),
    }


def _carrying(tables: Tables) -> np.ndarray:
    """A message in which one carry turns over several finished words."""
    for first_byte in range(1, 256):
        try:
            bins = walk_along_zeros(tables, first_byte, 100)
        except CorruptBody:  # that number lies outside every symbol
            continue
        for end in range(3):
            bins[-1] = end
            if flipped_words(tables, bins.tolist()) >= 3:
                return (bins + tables.low[0]).reshape(1, -1)
    raise AssertionError("no message carries")


def describe(tables: Tables, symbols: np.ndarray, grid: tuple[int, int]) -> dict[str, object]:
    """One vector: everything as integers or hexadecimal, so that no parser can round it."""
    symbols = symbols.astype(np.int32)
    body = ReferenceCoder(tables).encode(symbols)
    return {
        "channels": [
            {
                "low": int(tables.low[c]),
                "weights": tables.row_weights(c).tolist(),
                "zero_weight": int(tables.zero_weight[c]),
                "median_float32_hex": tables.medians[c : c + 1].astype(">f4").tobytes().hex(),
            }
            for c in range(tables.channels)
        ],
        "tables_sha256": tables.sha256,
        "grid": list(grid),
        "symbols": symbols.tolist(),
        "body_hex": body.hex(),
        "payload_hex": pack(Payload(tables.id, body)).hex(),
        "payload_with_grid_hex": pack(Payload(tables.id, body, grid=grid)).hex(),
    }


def context_cases() -> dict[str, tuple[Tables, np.ndarray]]:
    """Name -> tables with contexts, symbols (channels, height, width)."""
    rng = np.random.default_rng(2027)
    tables = random_contexts(rng, random_tables(rng, 5), (3, 3))
    narrow = random_contexts(rng, random_tables(rng, 2), (3, 3))
    far = random_symbols(rng, narrow, 24).reshape(2, 4, 6)
    far[:, ::2, ::3] = [[[-0x8000, 0x7FFF], [300, -300]], [[4000, -4000], [0x7FFF, 1]]]
    return {
        "all zero": (tables, np.zeros((5, 3, 4))),
        "one symbol": (tables, np.array([0, 1, 0, 0, -1]).reshape(5, 1, 1)),
        "one row": (tables, random_symbols(rng, tables, 20).reshape(5, 1, 20)),
        "one column": (tables, random_symbols(rng, tables, 20).reshape(5, 20, 1)),
        "escapes are neighbours": (narrow, far),
        "random": (tables, random_symbols(rng, tables, 143).reshape(5, 11, 13)),
    }


def describe_contexts(tables: Tables, symbols: np.ndarray) -> dict[str, object]:
    """One vector of the context codec: its body, and the plain one with the same tables."""
    contexts = tables.contexts
    assert contexts is not None
    symbols = symbols.astype(np.int32)
    body, _ = ReferenceContextCoder(tables).encode(symbols)
    plain = ReferenceCoder(tables).encode(symbols.reshape(tables.channels, -1))
    channels = describe(tables, symbols.reshape(tables.channels, -1), (1, 1))["channels"]
    assert isinstance(channels, list)
    for c, channel in enumerate(channels):
        rows = tables.context_rows[c]
        channel["context"] = {
            "modelled": int(contexts.modelled[c]),
            "activity": contexts.activity[c].tolist(),
            "direction": contexts.direction[c].tolist(),
            "activity_steps": contexts.activity_steps[c].tolist(),
            "direction_steps": contexts.direction_steps[c].tolist(),
            "weights": [] if rows is None else rows.tolist(),
        }
    shorter = Payload(tables.id, plain, plain=True) if len(plain) < len(body) else Payload(tables.id, body)
    return {
        "channels": channels,
        "tables_sha256": tables.sha256,
        "symbols": symbols.tolist(),
        "body_hex": body.hex(),
        "plain_body_hex": plain.hex(),
        "payload_hex": pack(shorter).hex(),
    }


def hyper_cases() -> dict[str, tuple[Tables, Message]]:
    """Name -> tables with a hyperprior, hyper symbols and symbols."""
    rng = np.random.default_rng(2028)
    made = {}
    for name, means, grid in (("scales", False, (2, 2)), ("scales and means", True, (2, 3))):
        hyper = random_hyper(rng, 3, 4, means)
        tables = replace(random_tables(rng, 3), hyper=hyper)
        side = random_symbols(rng, tables, grid[0] * grid[1]).reshape(3, *grid)
        rows, _ = hyper.synthesise(side.astype(np.int32))
        reach = hyper.bins.astype(int)[rows]
        symbols = np.rint(rng.normal(0, reach / 6))
        symbols.ravel()[:3] = [0x7FFF, -0x8000, 77]
        made[name] = tables, Message(symbols.astype(np.int32), side.astype(np.int32))
    tables, message = made["scales"]
    made["all zero"] = tables, Message(0 * message.symbols, 0 * message.side)
    return made


def describe_hyper(tables: Tables, message: Message) -> dict[str, object]:
    """One vector of the hyperprior codec, with what its integers give on the way."""
    hyper, side = tables.hyper, message.side
    assert hyper is not None and side is not None
    rows, means = hyper.synthesise(side)
    flat = side.reshape(len(side), -1)
    body = ReferenceHyperCoder(tables).encode(flat, message.symbols.ravel(), rows.ravel())
    return {
        "channels": describe(tables, flat, (1, 1))["channels"],
        "hyper": {
            name: {"type": array.dtype.str, "shape": list(array.shape), "values": array.ravel().tolist()}
            for name, array in sorted(hyper.arrays().items())
        },
        "tables_sha256": tables.sha256,
        "hyper_symbols": side.tolist(),
        "rows": rows.tolist(),
        "means_times_65536": (65536 * means.astype(np.float64)).astype(int).tolist(),
        "symbols": message.symbols.tolist(),
        "body_hex": body.hex(),
        "payload_hex": pack(Payload(tables.id, body)).hex(),
    }


def affine_cases() -> dict[str, tuple[Tables, Message]]:
    """Name -> tables, numbers less their zero point with the scale's bits and the zero point."""
    rng = np.random.default_rng(2029)
    flat = Tables.build([[TOTAL // 512] * 510 + [TOTAL // 512 * 2]] * 2, [-255, -255], [TOTAL // 2] * 2)
    narrow = Tables.build([[TOTAL // 4, TOTAL // 2, TOTAL // 4 - 1, 1]] * 2, [-1, -1], [TOTAL // 2] * 2)
    near = rng.integers(-1, 2, (2, 3, 4)).astype(np.int32)
    bits = int(np.float32(0.0375).view(np.int32))
    return {
        "bytes": (flat, Message(rng.integers(-100, 156, (2, 3, 4)).astype(np.int32), np.array([bits, 100], np.int32))),
        "by tables": (narrow, Message(near, np.array([bits, 1], np.int32))),
        "with contexts": (random_contexts(rng, narrow, (3, 3)), Message(near, np.array([bits, 200], np.int32))),
    }


def describe_affine(tables: Tables, message: Message) -> dict[str, object]:
    """One vector of the affine codec."""
    described = describe_contexts if tables.contexts else lambda t, s: describe(t, s.reshape(t.channels, -1), (1, 1))
    assert message.side is not None
    body = AffineCodec(tables, "reference").encode(message).body
    return {
        "channels": described(tables, message.symbols)["channels"],
        "tables_sha256": tables.sha256,
        "scale_float32_bits": int(message.side[0]),
        "zero_point": int(message.side[1]),
        "symbols": message.symbols.tolist(),
        "body_hex": body.hex(),
        "payload_hex": pack(Payload(tables.id, body)).hex(),
    }


def main() -> None:
    write("plain", "plain codec", {name: describe(*case) for name, case in cases().items()})
    write("context", "context codec", {name: describe_contexts(*case) for name, case in context_cases().items()})
    write("hyper", "hyperprior codec", {name: describe_hyper(*case) for name, case in hyper_cases().items()})
    write("affine", "affine codec", {name: describe_affine(*case) for name, case in affine_cases().items()})


def write(name: str, codec: str, vectors: dict[str, dict[str, object]]) -> None:
    text = json.dumps({"format": f"splitport wire format 1, {codec}", "vectors": vectors}, separators=(",", ":"))
    (HERE / f"{name}.json").write_text(text.replace('"channels"', '\n"channels"') + "\n")


if __name__ == "__main__":
    main()
