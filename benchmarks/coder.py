"""Range coding alone: 64 channels of 28x28 symbols, with all channels alive and with 7 alive as after training.

    python -m benchmarks.coder [--rounds 15]

All coders take turns in one run, each in its own process. CompressAI's rANS codes the same symbols with 16-bit tables
of the same distribution. Tables are built before the clock starts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import interleave
from calibration.refit import fitted
from runtime import coder as coders
from runtime.tables import TOTAL, Tables, integer_weights

CHANNELS, GRID = 64, (28, 28)


def _workload(alive: int) -> tuple[Tables, np.ndarray]:
    """Channels of rare symbols that stand together, as trained encoders' do, and tables and contexts fitted to such."""
    rng = np.random.default_rng(1)
    height, width = GRID

    def draw() -> np.ndarray:
        noise = np.pad(rng.normal(size=(CHANNELS, height, width)), ((0, 0), (1, 1), (1, 1)), mode="wrap")
        near = [noise[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
        field = sum(near) / 3 * (0.3 if alive == CHANNELS else 0.5)
        field[alive:] = 0
        return np.round(field).astype(np.int32)

    values = np.arange(-40, 41)
    rows = [integer_weights(np.append(np.exp(-np.abs(values) / 0.3), 1e-6))] * CHANNELS
    flags = np.full(CHANNELS, TOTAL // 2, np.uint32)
    _, tables = fitted("context", Tables.build(rows, [-40] * CHANNELS, flags), [draw() for _ in range(24)])
    return tables, draw()


def _make(name: str, alive: int, way: str) -> tuple[Callable[[], object], dict[str, Any]]:
    tables, symbols = _workload(alive)
    flat = symbols.reshape(CHANNELS, -1)
    if name == "CompressAI":
        encode, decode = _compressai(tables, flat)
    elif name == "native, contexts":
        assert tables.contexts is not None and tables.contexts.modelled.sum() == alive
        _, with_contexts = coders.make_context("native", tables)
        encode, decode = lambda: with_contexts.encode(symbols)[0], lambda body: with_contexts.decode(body, GRID)
    else:
        _, coder = coders.make(name, tables)
        encode, decode = lambda: coder.encode(flat), lambda body: coder.decode(body, flat.shape[1])
    body = encode()
    assert np.array_equal(np.asarray(decode(body)).reshape(symbols.shape), symbols)
    return (encode if way == "encode" else lambda: decode(body)), {"bytes": len(body)}


def _compressai(tables: Tables, symbols: np.ndarray) -> tuple[Callable[[], bytes], Callable[[bytes], object]]:
    """The coder as CompressAI's entropy models call it: lists in, bytes out."""
    import torch
    from compressai import ans
    from compressai._CXX import pmf_to_quantized_cdf

    def cdf(channel: int) -> list[int]:
        return list(pmf_to_quantized_cdf((tables.row_weights(channel) / TOTAL).tolist(), 16))

    cdfs = [cdf(c) for c in range(CHANNELS)]
    sizes, offsets = [len(c) for c in cdfs], tables.low.tolist()
    # compress() starts from tensors, and turning them into lists is part of its price.
    values = torch.from_numpy(symbols)
    indexes = torch.arange(CHANNELS, dtype=torch.int32).view(-1, 1).expand(symbols.shape)

    def encode() -> bytes:
        encoder = ans.RansEncoder()
        return encoder.encode_with_indexes(
            values.reshape(-1).tolist(), indexes.reshape(-1).tolist(), cdfs, sizes, offsets
        )

    def decode(body: bytes) -> object:
        decoder = ans.RansDecoder()
        return np.array(decoder.decode_with_indexes(body, indexes.reshape(-1).tolist(), cdfs, sizes, offsets))

    return encode, decode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    for alive in (CHANNELS, 7):
        print(f"\n{CHANNELS * GRID[0] * GRID[1]} symbols, {alive} of {CHANNELS} channels alive\n")
        print("| coder | bytes | encode ms | times faster | decode ms | times faster |\n|---|---|---|---|---|---|")
        results, facts = {}, {}
        for way in ("encode", "decode"):
            workers = {
                name: interleave.Worker(__file__, {"name": name, "alive": alive, "way": way}, 1)
                for name in ("CompressAI", "constriction", "native", "native, contexts")
            }
            results[way] = interleave.race(workers, args.rounds, 40)
            for name, worker in workers.items():
                facts[name] = worker.facts
                worker.close()
        for name, fact in facts.items():
            (encode, faster), (decode, quicker) = results["encode"][name], results["decode"][name]
            print(f"| {name} | {fact['bytes']} | {encode:.3f} | {faster:.1f} | {decode:.3f} | {quicker:.1f} |")


if __name__ == "__main__":
    interleave.serve(_make) if interleave.is_worker() else main()
