"""The run directory: its manifest, its lock, its stages and its artifacts."""
