"""Gradient boosting of other libraries: one file each, what they share in trees.py, and what guards their files."""
