"""The network, packed batches, and the engine that scores on a GPU."""
