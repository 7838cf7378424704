"""Choosing bases, spaces and settings by folds: the plan, the folds, the losses of every setting, the selection."""
