"""Frames in, payloads out, for hours.

A source gives frames, a feed numbers them and keeps only the newest where they come by themselves, the loop encodes,
a sink takes the payloads. Nothing here grows with time: one frame waits, one is in work, one payload is on its way.
"""
