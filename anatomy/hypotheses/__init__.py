"""Effects, their uncertainty, baselines, the null check and labels."""
