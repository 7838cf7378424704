"""The model directory: manifests, parts, and the checks before anything is parsed."""
