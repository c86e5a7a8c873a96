"""What a person reads: terminal, Markdown. Needs no torch."""
