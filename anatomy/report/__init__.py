"""The results of a run for people: the page, text for the terminal, Markdown. Needs no torch."""
