"""The network: embedding table, packed recurrent layers, the two final states and what is pooled beside them, linear classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from textcls.artifact import Artifact
from textcls.config import ModelSettings
from textcls.model.ngrams import Ngrams
from textcls.model.packing import PackedBatch
from textcls.model.recurrence import Grid, PackedLSTMLayer

_CELLS: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class Encoder(nn.Module):
    """Packed recurrent layers; parameters have the names and shapes of `torch.nn.LSTM` (`GRU`, `RNN`), under `rnn`.

    Serves any packed float sequence: token embeddings here, a numeric series as well.

    Args:
        input_size: Features of one token.
        settings: Cell, layers, directions, sizes, biases, pooling, dropouts on recurrent weights and between layers.

    Attributes:
        parallel: Whether the two directions of an LSTM each have a thread on the CPU; the results are the same.
    """

    def __init__(self, input_size: int, settings: ModelSettings) -> None:
        super().__init__()
        self.rnn = _CELLS[settings.cell](
            input_size,
            settings.hidden_size,
            settings.layers,
            bias=settings.bias,
            batch_first=True,
            dropout=settings.layer_dropout if settings.layers > 1 else 0.0,
            bidirectional=settings.bidirectional,
        )
        self.directions = 2 if settings.bidirectional else 1
        self.pooling = settings.pooling
        self.recurrent_dropout = settings.recurrent_dropout
        self.parallel = False

    @property
    def output_size(self) -> int:
        """Values that `summary` gives of one text."""
        return (1 if self.pooling == "final" else 2) * self.directions * self.rnn.hidden_size

    def forward(self, packed: PackedSequence) -> tuple[PackedSequence, Tensor]:
        """Run all layers.

        Args:
            packed: Sequences of (tokens, input_size), as `torch.nn.utils.rnn.pack_padded_sequence` makes them.

        Returns:
            As `torch.nn.LSTM`: the last layer's outputs, packed, (tokens, directions * hidden_size); and the final hidden states,
            (layers * directions, batch, hidden_size), in the order of the rows, for each layer the forward one first.
        """
        if self._fused(packed):
            return self._packed_lstm(packed)
        if self.training and self.recurrent_dropout:
            output, state = torch.func.functional_call(self.rnn, self._dropped(), (packed,))
        else:
            output, state = self.rnn(packed)
        return output, state[0] if isinstance(state, tuple) else state

    def final_states(self, packed: PackedSequence) -> Tensor:
        """Return the last layer's final forward state and final backward state, concatenated, (batch, directions * hidden_size)."""
        states = self._packed_lstm(packed, whole=False)[1] if self._fused(packed) else self(packed)[1]
        return torch.cat(list(states[-self.directions :]), dim=1)

    def summary(self, packed: PackedSequence) -> Tensor:
        """Return what the classifier sees of each text: the final states, and what is pooled beside them, (batch, output_size)."""
        if self.pooling == "final":
            return self.final_states(packed)
        outputs, states = self(packed)
        padded, lengths = pad_packed_sequence(outputs)  # (longest, batch, directions * hidden_size)
        real = (torch.arange(len(padded))[:, None] < lengths)[..., None].to(padded.device)  # (longest, batch, 1)
        return torch.cat([*states[-self.directions :], pool(padded, real, self.pooling)], dim=1)

    def _fused(self, packed: PackedSequence) -> bool:
        """Whether the layer for training on the CPU serves; without gradients torch's own is as fast."""
        return isinstance(self.rnn, nn.LSTM) and packed.data.device.type == "cpu" and torch.is_grad_enabled()

    def _packed_lstm(self, packed: PackedSequence, *, whole: bool = True) -> tuple[PackedSequence, Tensor]:
        grid, data, finals = Grid(packed.batch_sizes, self.parallel), packed.data, []
        dropped = self._dropped() if self.training and self.recurrent_dropout else {}
        for layer in range(self.rnn.num_layers):
            if layer > 0:
                data = dropout(data, self.rnn.dropout if self.training else 0.0)
            passed_on = whole or layer < self.rnn.num_layers - 1
            weights = self._weights(layer, dropped)
            data, final = PackedLSTMLayer.apply(data, grid, passed_on, *weights)  # type: ignore[no-untyped-call]
            finals.append(final)
        states = torch.cat(finals)  # (layers * directions, batch, hidden), texts by falling length
        if packed.unsorted_indices is not None:
            states = states.index_select(1, packed.unsorted_indices)
        return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices), states

    def _dropped(self) -> dict[str, Tensor]:
        """Return the recurrent weights with a share of them dropped (DropConnect: Merity et al. 2018), by name."""
        recurrent = ((name, p) for name, p in self.rnn.named_parameters() if name.startswith("weight_hh"))
        return {name: dropout(p, self.recurrent_dropout) for name, p in recurrent}

    def _weights(self, layer: int, dropped: Mapping[str, Tensor]) -> list[Tensor | None]:
        """Weights of one layer, four for each direction; those in `dropped` from there."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        suffixes = ("", "_reverse")[: self.directions]
        wanted = [f"{name}_l{layer}{suffix}" for suffix in suffixes for name in names]
        return [dropped[name] if name in dropped else getattr(self.rnn, name, None) for name in wanted]


def pool(outputs: Tensor, real: Tensor, pooling: str) -> Tensor:
    """Return the largest value or the mean of each output over the real tokens, (batch, features).

    Args:
        outputs: (longest, batch, features).
        real: Which of them are tokens of a text, not padding, bool (longest, batch, 1).
        pooling: `final+max` or `final+mean`.
    """
    if pooling == "final+max":
        return outputs.masked_fill(~real, -torch.inf).amax(dim=0)
    return (outputs * real).sum(dim=0) / real.sum(dim=0)


class Network(nn.Module):
    """Token ids to logits.

    Args:
        settings: Sizes, cell and dropouts; `embedding_size` must be settled.
        vocabulary_size: Rows of the embedding table; row 0 is `<pad>`, a zero vector that never changes.
        classes: Logits of one text.
    """

    def __init__(self, settings: ModelSettings, vocabulary_size: int, classes: int) -> None:
        super().__init__()
        assert settings.embedding_size is not None
        assert settings.ngram_slots != "auto"
        self.embedding = nn.Embedding(vocabulary_size, settings.embedding_size, padding_idx=0)
        self.encoder = Encoder(settings.embedding_size, settings)
        self.classifier = nn.Linear(self.encoder.output_size, classes)
        self.ngrams = Ngrams(settings.ngram_slots, classes) if settings.ngram_slots else None
        self.type_dropout = settings.type_dropout
        self.embedding_dropout = settings.embedding_dropout
        self.output_dropout = settings.output_dropout

    def forward(self, batch: PackedBatch, vectors: Tensor | None = None) -> Tensor:
        """Return logits, (batch, classes), in the order of the rows.

        Args:
            batch: The texts.
            vectors: What their ids count in, (types, embedding), in training, which has no n-grams yet; the embedding table
                where not given.
        """
        summary = self.summary(batch, vectors)
        logits = cast(Tensor, self.classifier(dropout(summary, self.output_dropout if self.training else 0.0)))
        return logits if self.ngrams is None else logits + self.ngrams(batch.padded_ids())

    def summary(self, batch: PackedBatch, vectors: Tensor | None = None) -> Tensor:
        """Return what the classifier sees of each text, (batch, output_size); the arguments are those of `forward`."""
        table = self.embedding.weight if vectors is None else vectors
        if self.training and self.type_dropout:  # (Gal and Ghahramani 2016)
            table = table * dropout(table.new_ones(len(table), 1), self.type_dropout)
        embedded = nn.functional.embedding(batch.ids, table, 0 if vectors is None else None)  # (tokens, embedding)
        embedded = dropout(embedded, self.embedding_dropout if self.training else 0.0)
        return self.encoder.summary(batch.sequence(embedded))


def trained_network(artifact: Artifact) -> Network:
    """Return the network of a trained model, on the CPU, ready to score."""
    settings, classes = artifact.config.model, len(artifact.labels)
    network = Network(settings, len(artifact.vocabulary), classes).eval()
    if network.ngrams is not None:
        network.ngrams = Ngrams(len(network.ngrams.weight), classes, whole="ngrams.scale" in artifact.weights)
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in artifact.weights.items()})
    return network


def dropout(values: Tensor, share: float) -> Tensor:
    """Drop a share of the values; on the CPU two to three times as fast as torch's own, which draws them one by one."""
    if share == 0 or values.device.type != "cpu":
        return nn.functional.dropout(values, share)
    return values * (torch.rand_like(values) >= share).to(values.dtype).mul_(1 / (1 - share))
