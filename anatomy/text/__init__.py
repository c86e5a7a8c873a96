"""What plain text shows without a model: Markdown, refusals, lexical matchers, n-grams, safe excerpts."""
