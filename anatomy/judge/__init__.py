"""A judge behind any OpenAI-compatible endpoint: requests, answers, their cache on disk."""
