"""Sparse autoencoders: loading, health, training."""
