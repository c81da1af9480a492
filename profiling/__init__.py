"""Measure bundles on the machine they run on, and print what was measured. No torch."""
