"""Batches, the loop, and the run that ties them."""
