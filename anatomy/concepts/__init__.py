"""Concepts that a person decides on, and the protocol by which a detector scores responses for one."""
