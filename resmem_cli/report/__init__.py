"""One HTML page from what `evaluate` measures: numbers to sentences, tables and pictures."""
