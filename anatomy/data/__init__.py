"""Rows: loading, recognising formats, data health."""
