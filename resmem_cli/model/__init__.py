"""The method: NumPy in, NumPy out; no files, no columns, no printing."""
