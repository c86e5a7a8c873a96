"""Pooled SAE features of each span, as sparse shards on disk."""
