"""Measure bundles on several hosts at once, over the system's own SSH."""
