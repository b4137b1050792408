"""Measuring bundles on devices: one row for each run, and no statistics."""
