"""Long documents: what a text is about, where it is from, and what was hidden in it."""
