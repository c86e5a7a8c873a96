"""Shared parts of the tests: tiny models, planted data, a local chat server, processes that kill themselves."""
