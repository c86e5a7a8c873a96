"""Concepts that a person decides on, and the protocol of a detector that scores responses for one."""
