"""Plans: what a person decided about concepts, and which rows a decision names."""
