"""The network, packed batches, and the engine that scores on a GPU."""

from textcls.model.network import Encoder, Network, trained_network
from textcls.model.ngrams import Ngrams
from textcls.model.packing import PackedBatch, pack

__all__ = ["Encoder", "Network", "Ngrams", "PackedBatch", "pack", "trained_network"]
