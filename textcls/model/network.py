"""The network: embedding table, packed recurrent layers, the two final states and what is pooled beside them, linear classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from textcls.artifact import Artifact
from textcls.config import ModelSettings
from textcls.model.ngrams import Ngrams
from textcls.model.packing import Batch
from textcls.model.recurrence import Grid, Turned, run_layer

_CELLS: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class Encoder(nn.Module):
    """Packed recurrent layers; parameters have the names and shapes of `torch.nn.LSTM` (`GRU`, `RNN`), under `rnn`.

    Serves any packed float sequence: token embeddings here, a numeric series as well.

    Args:
        input_size: Features of one token.
        settings: Cell, layers, directions, sizes, biases, pooling, dropouts on recurrent weights and between layers.

    Attributes:
        parallel: Whether the two directions each have a thread when they are trained on the CPU; the results are the same.
        bf16: Whether the recurrence is rounded to bf16 when it is trained on the CPU.
    """

    def __init__(self, input_size: int, settings: ModelSettings) -> None:
        super().__init__()
        self._cell = settings.cell
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
        self.bf16 = False

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
        data, lengths = pad_packed_sequence(packed)
        grid = Grid(lengths.to(data.device), len(data))
        last, finals = self._run(data, grid)
        outputs, order = _side_by_side(last, grid), packed.sorted_indices
        if order is not None:
            outputs, lengths = outputs.index_select(1, order), lengths[order.cpu()]
        sequences = pack_padded_sequence(outputs, lengths)
        return PackedSequence(sequences.data, packed.batch_sizes, order, packed.unsorted_indices), torch.stack(finals)

    def final_states(self, packed: PackedSequence) -> Tensor:
        """Return the last layer's final forward state and final backward state, concatenated, (batch, directions * hidden_size)."""
        data, lengths = pad_packed_sequence(packed)
        return self._final_states(self._run(data, Grid(lengths.to(data.device), len(data)))[1])

    def summary(self, data: Tensor, lengths: Tensor) -> Tensor:
        """Return what the classifier sees of each text: the final states, and what is pooled beside them, (texts, output_size).

        Args:
            data: Texts in a grid that pads behind each, (steps, texts, input_size).
            lengths: Tokens of each text, int64 (texts,), on the same device.
        """
        grid = Grid(lengths, len(data))
        last, finals = self._run(data, grid)
        final = self._final_states(finals)
        if self.pooling == "final":
            return final
        return torch.cat([final, *(pool(states, grid.real[..., None], self.pooling) for states in last)], dim=1)

    def _run(self, data: Tensor, grid: Grid) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """Run all layers over a grid.

        Returns:
            The last layer's states, for each direction (steps, texts, hidden_size) in the order of its reading; and the final
            states of all layers' directions, each (texts, hidden_size).
        """
        dropped = self._dropped() if self.training and self.recurrent_dropout else {}
        states: tuple[Tensor, ...] = ()
        finals = []
        for layer in range(self.rnn.num_layers):
            if layer > 0:
                data = dropout(_side_by_side(states, grid), self.rnn.dropout if self.training else 0.0)
            weights, bf16 = self._weights(layer, dropped), self.bf16 and self.training
            states = run_layer(self._cell, data, grid, weights, parallel=self.parallel, bf16=bf16)
            finals += [own.flatten(0, 1).index_select(0, grid.last) for own in states]
        return states, finals

    def _final_states(self, finals: list[Tensor]) -> Tensor:
        return torch.cat(finals[-self.directions :], dim=1)

    def _dropped(self) -> dict[str, Tensor]:
        """Return the recurrent weights with a share of them dropped (DropConnect: Merity et al. 2018), by name."""
        recurrent = ((name, p) for name, p in self.rnn.named_parameters() if name.startswith("weight_hh"))
        return {name: dropout(p, self.recurrent_dropout) for name, p in recurrent}

    def _weights(self, layer: int, dropped: Mapping[str, Tensor]) -> list[list[Tensor]]:
        """Return the weights of one layer, four for each direction, those in `dropped` from there; biases are zeros without any."""

        def weight(name: str) -> Tensor:
            return dropped[name] if name in dropped else cast(Tensor, getattr(self.rnn, name))

        found = []
        for suffix in (f"_l{layer}", f"_l{layer}_reverse")[: self.directions]:
            own = [weight("weight_ih" + suffix), weight("weight_hh" + suffix)]
            biases = ("bias_ih", "bias_hh") if self.rnn.bias else ()
            found.append([*own, *(weight(name + suffix) for name in biases)])
            if not biases:
                found[-1] += [own[0].new_zeros(len(own[0]))] * 2
        return found


def _side_by_side(states: tuple[Tensor, ...], grid: Grid) -> Tensor:
    """Return both directions' states of each token, (steps, texts, directions * hidden_size)."""
    forward, *backward = states
    return torch.cat([forward, *(Turned.apply(own, grid.turned) for own in backward)], dim=2)  # type: ignore[no-untyped-call]


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

    def forward(self, batch: Batch, vectors: Tensor | None = None) -> Tensor:
        """Return logits, (batch, classes), in the order of the rows.

        Args:
            batch: The texts.
            vectors: What their ids count in, (types, embedding), in training, which has no n-grams yet; the embedding table
                where not given.
        """
        summary = self.summary(batch, vectors)
        logits = cast(Tensor, self.classifier(dropout(summary, self.output_dropout if self.training else 0.0)))
        return logits if self.ngrams is None else logits + self.ngrams(batch.ids.T)

    def summary(self, batch: Batch, vectors: Tensor | None = None) -> Tensor:
        """Return what the classifier sees of each text, (batch, output_size); the arguments are those of `forward`."""
        table = self.embedding.weight if vectors is None else vectors
        if self.training and self.type_dropout:  # (Gal and Ghahramani 2016)
            table = table * dropout(table.new_ones(len(table), 1), self.type_dropout)
        embedded = nn.functional.embedding(batch.ids, table, 0 if vectors is None else None)  # (steps, texts, embedding)
        embedded = dropout(embedded, self.embedding_dropout if self.training else 0.0)
        return self.encoder.summary(embedded, batch.lengths)


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
