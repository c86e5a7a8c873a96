"""Pooled SAE features of each span, as sparse shards on disk.

To *harvest* rows is to run them through the model up to the SAE's layer, encode the residual stream of every token of
their spans and pool the features that fire: ``harvesting`` does it, ``pooling`` has the arithmetic, ``feature_store``
the shards.
"""
