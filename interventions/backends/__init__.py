"""The four backends: what a plan does to each pair."""
