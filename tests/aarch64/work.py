"""What a board does in these tests; it runs there, with what a device has.

    python work.py BUNDLE PICTURES THEIRS OURS MOST

Self-test; a payload of each of the first MOST pictures into OURS; every payload of THEIRS decoded. What it found is
OURS/report.json.
"""

import hashlib
import json
import platform
import sys
from pathlib import Path

from runtime import Decoder, Encoder, selftest


def main() -> None:
    bundle, pictures, theirs, ours = map(Path, sys.argv[1:5])
    ours.mkdir(parents=True)
    encoder, decoder = Encoder.open(bundle, threads=1), Decoder.open(bundle)
    found = {"machine": platform.machine(), "coder": encoder.coder, "sent": {}, "read": {}}
    for number, picture in enumerate(sorted(pictures.iterdir())[: int(sys.argv[5])]):
        payload = encoder.encode(picture)
        if number < 1:  # the rest is taken from the payload, which saves half the time
            assert (decoder.symbols(payload) == encoder.symbols(picture)).all()
        (ours / f"{picture.stem}.spl").write_bytes(payload)
        found["sent"][picture.stem] = _digest(decoder.symbols(payload))
        decoder.symbols(payload).astype("<i4").tofile(ours / f"{picture.stem}.i32")
    for payload in sorted(theirs.glob("*.spl")):
        found["read"][payload.stem] = _digest(decoder.symbols(payload.read_bytes()))
    found["selftest"] = selftest.run(encoder).passed
    (ours / "report.json").write_text(json.dumps(found))


def _digest(symbols) -> str:
    return hashlib.sha256(symbols.astype("<i4").tobytes()).hexdigest()


if __name__ == "__main__":
    main()
