"""The verbs as plain functions, one file each."""
