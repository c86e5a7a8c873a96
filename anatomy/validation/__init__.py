"""Does the prediction hold? Rollouts before and after training, predicted and observed shifts (method.md §7)."""
