"""Completions of prompts by a model before or after training, and their log-probabilities."""
