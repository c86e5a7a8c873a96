"""The stages of an audit: one file for each, what declares them, and the order that follows from the declarations."""
