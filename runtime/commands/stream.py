"""``stream BUNDLE --source SOURCE (-o DIR | --to URL)``."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.cli import Report
from runtime.commands import add_engine_arguments
from runtime.encoder import Encoder
from runtime.errors import SplitportError, UsageError
from runtime.stream import figures, sources
from runtime.stream.feed import Feed, feed_for
from runtime.stream.loop import Loop
from runtime.stream.pace import Pace
from runtime.stream.service import Service
from runtime.stream.sinks import Folder, Sink
from runtime.stream.stop import Stop
from runtime.stream.voice import Voice


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    known = "; ".join(spec.words for spec in sources.SOURCES.values())
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--source", required=True, help=known)
    sinks = parser.add_mutually_exclusive_group(required=True)
    sinks.add_argument("-o", "--output", type=Path, metavar="DIR", help="where the .spl files go, one a frame")
    sinks.add_argument("--to", metavar="URL", help="or the receiver that payloads are posted to")
    parser.add_argument("--rate", type=float, metavar="FPS", help="at most so many frames a second")
    parser.add_argument("--frames", type=int, metavar="N", help="end after so many; by default with the source")
    parser.add_argument("--stats", action="store_true", help="one line of figures each second")
    add_engine_arguments(parser)


def run(args: argparse.Namespace) -> Report:
    """Encode what comes until the source ends or a signal asks to stop; each frame is whole or not at all."""
    if args.rate is not None and not (math.isfinite(args.rate) and args.rate > 0):
        raise UsageError(f"--rate must be a number above 0, not {args.rate:g}")
    if args.frames is not None and args.frames < 1:
        raise UsageError(f"--frames must be at least 1, not {args.frames}")
    spec, stop, voice = sources.spec_for(args.source), Stop(), Voice()
    with stop.on_signals():
        sink = _sink(args, voice, stop)
        encoder = Encoder.open(args.bundle, engine=args.engine, threads=args.threads, coder=args.coder)
        feed = feed_for(spec.open(args.source), sink.first, time.monotonic)
        done = figures.Figures(feed, time.monotonic())
        tell = _teller(args.json) if args.stats else None
        ended = ""
        try:
            Loop(
                encoder, feed, sink, stop, Pace(args.rate), done, voice, Service(), time.monotonic, args.frames, tell
            ).run()
        except SplitportError as why:
            if args.debug:
                raise
            ended = str(why)
    report = _report(done.altogether(time.monotonic()), feed, sink)
    report.failures += [ended] if ended else []
    return report


def _sink(args: argparse.Namespace, voice: Voice, stop: Stop) -> Sink:
    if args.output:
        return Folder(args.output)
    from runtime.stream.post import Post  # http.client brings ssl, which no other command needs

    return Post(args.to, voice, stop.wait)


def _teller(as_json: bool) -> Callable[[dict[str, Any]], None]:
    def tell(said: dict[str, Any]) -> None:
        try:
            print(json.dumps(said) if as_json else figures.line(said), flush=True)
        except BrokenPipeError:  # whoever read the figures has gone; the payloads are what this is for
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    return tell


def _report(said: dict[str, Any], feed: Feed, sink: Sink) -> Report:
    delivered = said["encoded"] - said["failed"]
    lines = [f"{figures.counts(said)}; {delivered} payloads to {sink.name}"]
    if said["encoded"]:
        latency, rss = said["latency_ms"], said["rss_mb"]
        lines.append(
            f"{said['payload_bytes_mean']:.0f} payload bytes on average ({said['wire_bytes_mean']:.0f} on the wire); "
            f"latency {latency['mean']:.1f} ms on average, {latency['longest']:.1f} at most; "
            f"{said['seconds']:.1f} s, {said['fps']:.1f} fps" + (f", RSS {rss:.1f} MB" if rss is not None else "")
        )
    report = Report(lines, {"source": feed.source.name, "to": sink.name, "delivered": delivered, **said})
    # Hours of a camera with one bad frame went well; a folder with one bad picture did not.
    losses = report.notes if feed.source.live and delivered else report.failures
    if said["damaged"]:
        losses.append(f"{said['damaged']} of {said['read']} frames could not be read")
    if said["failed"]:
        losses.append(f"{said['failed']} of {said['encoded']} payloads could not be delivered")
    return report
