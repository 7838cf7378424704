"""The memory of residuals: cells of equal points, the search for the nearest, and fewer cells where there are many."""
