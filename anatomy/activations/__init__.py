"""Chat template, token spans and residual activations of the subject model."""
