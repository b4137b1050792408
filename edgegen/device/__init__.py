"""Devices: reaching them, moving files, and measuring bundles on them."""
