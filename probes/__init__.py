"""Detectors of concepts: how they are fitted and evaluated."""
