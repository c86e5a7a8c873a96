"""The one DPO loop, and what it reads."""
