"""Names of clusters: offline from tokens and exemplars, or by a language model with a blind test."""
