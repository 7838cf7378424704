"""What the memory gains on real data sets, beside other methods on the same rows and beside published results."""
