"""Clusters of features, of rows and of prompt features."""
