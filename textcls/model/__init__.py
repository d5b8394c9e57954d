"""The network, packed batches, and the engine that scores on a GPU."""

from textcls.model.network import Encoder, Network, trained_network
from textcls.model.ngrams import Ngrams
from textcls.model.packing import Batch, pack

__all__ = ["Batch", "Encoder", "Network", "Ngrams", "pack", "trained_network"]
