"""The `pt2` export: a program of `torch.export` for PyTorch programs; ids and lengths in, probabilities out.

`torch.export` takes no packed sequence and freezes the length of a plain `nn.LSTM`. So the recurrence is written out here, with torch's
operator `scan` and a mask of the real tokens; what it gives is the same. The operator is private and may change: a file runs in the
release of torch that wrote it, and says which that is.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear

from textcls.artifact import Artifact, read_unchanged_artifact
from textcls.data import label_text
from textcls.errors import ExportError, ModelError, is_out_of_memory
from textcls.exports.onnx_file import ExportReport, prove
from textcls.exports.parity import Run
from textcls.exports.places import check_file
from textcls.exports.stranger import stranger
from textcls.exports.texts import real_texts
from textcls.files import replacing, writing
from textcls.inference.engine import pad
from textcls.inference.graph import VOCABULARY, metadata
from textcls.inference.hub import first_line
from textcls.inference.program import RELEASE, read_program, sealed_program
from textcls.model import trained_network
from textcls.model.network import pool
from textcls.saved_settings import saved_settings
from textcls.text import Encoder

_PROGRAM = Path(__file__).with_name("_pt2_stranger.py")
_TRACED = (3, 5)  # texts and tokens of the batch that is traced: sizes that no comparison has
_TRACES = ("stack_trace", "nn_module_stack", "source_fn_stack")  # where each operation came from, with paths of this machine

States = tuple[Tensor, ...]  # (texts, hidden) each: the output first, then the LSTM's cell
Cell = Callable[[Tensor, States, Tensor, Tensor | None], States]


def export_pt2(model: str | Path, out: str | Path, *, texts: str | Path | None = None, force: bool = False) -> ExportReport:
    """Write a trained model as a program of `torch.export`, once it has shown in a fresh process that it gives what the model gives.

    Args:
        model: The model folder.
        out: The file to write, ending in `.pt2`.
        texts: A file of texts, one a line, to compare on; chosen as in `onnx_file.export` if not given.
        force: Write over an existing file.

    Raises:
        InputError: There is no model, or the file cannot be written.
        ExportError: This torch cannot export the network, or the file differs from the model; nothing was written.
    """
    model, out = Path(model), Path(out)
    check_file(out, ".pt2", (model, texts), force=force)
    artifact = read_unchanged_artifact(model)
    real, source = real_texts(artifact, model, texts)
    content = program_bytes(artifact)
    with writing(out), replacing(out, force=force) as neighbour:
        neighbour.write_bytes(content)
        with pt2_runner(artifact, neighbour) as run:
            parity = prove(artifact, run, real)
    digest = hashlib.sha256(content).hexdigest()
    return ExportReport(False, parity.texts, source, parity.largest_difference, len(content), digest, artifact.many)


@dataclass(frozen=True)
class LoadedPt2:
    """A file of `export_pt2`, loaded.

    Attributes:
        module: Takes `ids` (int64 [texts, longest], 0 behind each text's end) and `lengths` (int64 [texts], at least 1); gives
            probabilities (float32 [texts, classes]), with many labels a text also which are selected (bool [texts, classes]).
        record: What the file says of itself: settings, labels, metrics, where the model came from.
        vocabulary: Token of each id.
    """

    module: nn.Module
    record: dict[str, Any]
    vocabulary: tuple[str, ...]


def load_pt2(path: str | Path) -> LoadedPt2:
    """Load a file of `export_pt2`, only in the release of torch that it needs.

    As with every file of `torch.export`: load none of those whom you do not trust.

    Args:
        path: The file.

    Raises:
        ModelError: There is no such file, it is none of `export_pt2`, or it needs another release of torch.
    """
    extras = read_program(Path(path))
    needed = extras[RELEASE]
    if needed != torch_release():
        raise ModelError(
            f"{path}: needs torch {needed}, this is {torch_release()}; install torch=={needed} or export the model again"
        )
    with Path(path).open("rb") as file:
        module = torch.export.load(file).module()
    return LoadedPt2(module, saved_settings(json.loads(extras["textcls"])), tuple(extras[VOCABULARY].split("\n")))


def torch_release() -> str:
    """Return the release of torch, without the name of its build."""
    return torch.__version__.partition("+")[0]


def program_bytes(artifact: Artifact) -> bytes:
    """Export a trained model as the bytes of a `.pt2` file; the same model gives the same bytes.

    Raises:
        ExportError: This torch cannot export it.
    """
    texts, longest = torch.export.Dim("texts", min=1), torch.export.Dim("longest", min=1)
    example = torch.ones(_TRACED, dtype=torch.int64), torch.arange(1, _TRACED[0] + 1)
    content = io.BytesIO()
    try:
        program = torch.export.export(
            PaddedNetwork(artifact), example, dynamic_shapes=({0: texts, 1: longest}, {0: texts}), strict=False
        )
        for module in program.graph_module.modules():
            for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
                for name in _TRACES:
                    node.meta.pop(name, None)
        torch.export.save(program, content, extra_files={**metadata(artifact), RELEASE: torch_release()})
    except Exception as error:  # torch documents no common class, and the operator is private
        if is_out_of_memory(error):
            raise
        raise ExportError(f"torch {torch_release()} cannot export this network: {first_line(error)}") from error
    return sealed_program(content.getvalue())


class PaddedNetwork(nn.Module):
    """The trained network in a form that `torch.export` takes: for padded texts, with the recurrence written out.

    Args:
        artifact: The trained model.
    """

    thresholds: Tensor

    def __init__(self, artifact: Artifact) -> None:
        super().__init__()
        settings = artifact.config.model
        network = trained_network(artifact)
        self.embedding, self.rnn, self.classifier = network.embedding, network.encoder.rnn, network.classifier
        self.ngrams = network.ngrams
        self.requires_grad_(False)
        self.cell, self.states = _CELLS[settings.cell]
        self.suffixes = ("", "_reverse")[: network.encoder.directions]
        self.pooling = settings.pooling
        self.temperature = artifact.temperature
        self.many = artifact.many
        if self.many:
            self.register_buffer("thresholds", torch.tensor(artifact.thresholds))

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return probabilities, (texts, classes); with many labels a text also which of them are selected.

        Args:
            ids: int64 (texts, longest), 0 behind each text's end.
            lengths: int64 (texts,), at least 1.
        """
        steps = self.embedding(ids.T)  # (longest, texts, embedding)
        real = (torch.arange(ids.shape[1], device=ids.device)[:, None] < lengths)[..., None]  # (longest, texts, 1)
        for layer in range(self.rnn.num_layers):
            directions = [self._direction(steps, real, f"l{layer}{suffix}") for suffix in self.suffixes]
            finals, outputs = zip(*directions, strict=True)
            steps = torch.cat(outputs, dim=2)
        pooled = () if self.pooling == "final" else (pool(steps, real, self.pooling),)
        logits: Tensor = self.classifier(torch.cat((*finals, *pooled), dim=1))
        if self.ngrams is not None:
            logits = logits + self.ngrams(ids)
        logits = logits / self.temperature
        if not self.many:
            return logits.softmax(dim=1)
        probabilities = logits.sigmoid()
        return probabilities, probabilities >= self.thresholds

    def _direction(self, steps: Tensor, real: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """Return one direction's final state, (texts, hidden), and its outputs, (longest, texts, hidden)."""
        from torch._higher_order_ops.scan import scan

        weight_ih, weight_hh = (getattr(self.rnn, f"weight_{kind}_{name}") for kind in ("ih", "hh"))
        bias_ih, bias_hh = (getattr(self.rnn, f"bias_{kind}_{name}", None) for kind in ("ih", "hh"))

        def step(states: States, now: tuple[Tensor, Tensor]) -> tuple[States, Tensor]:
            given, real = now
            new = self.cell(given, states, weight_hh, bias_hh)
            kept = tuple(torch.where(real, after, before) for after, before in zip(new, states, strict=True))
            return kept, kept[0].clone()  # the operator wants no tensor twice

        start = tuple(steps.new_zeros(steps.shape[1], self.rnn.hidden_size) for _ in range(self.states))
        states, outputs = scan(step, start, (linear(steps, weight_ih, bias_ih), real), reverse=name.endswith("_reverse"))
        return states[0], outputs


def _lstm(given: Tensor, states: States, weight: Tensor, bias: Tensor | None) -> States:
    hidden, cell = states
    enter, forget, value, leave = (given + linear(hidden, weight, bias)).chunk(4, dim=1)
    cell = forget.sigmoid() * cell + enter.sigmoid() * value.tanh()
    return leave.sigmoid() * cell.tanh(), cell


def _gru(given: Tensor, states: States, weight: Tensor, bias: Tensor | None) -> States:
    (hidden,) = states
    parts = zip(given.chunk(3, dim=1), linear(hidden, weight, bias).chunk(3, dim=1), strict=True)
    (reset_given, reset), (keep_given, keep), (value_given, value) = parts
    new = (value_given + (reset_given + reset).sigmoid() * value).tanh()
    return (new + (keep_given + keep).sigmoid() * (hidden - new),)


def _rnn(given: Tensor, states: States, weight: Tensor, bias: Tensor | None) -> States:
    return ((given + linear(states[0], weight, bias)).tanh(),)


_CELLS: dict[str, tuple[Cell, int]] = {"lstm": (_lstm, 2), "gru": (_gru, 1), "rnn": (_rnn, 1)}  # with the number of states


@contextmanager
def pt2_runner(artifact: Artifact, path: Path) -> Iterator[Run]:
    """Give a function that runs a `.pt2` file as a stranger would: a fresh process, stock torch, nothing of textcls.

    Raises:
        ExportError: torch refuses the file.
    """
    encoder = Encoder.from_settings(artifact.config.text, artifact.vocabulary)
    labels = [label_text(label) for label in artifact.labels]
    with stranger(path, _PROGRAM) as ask:

        def run(texts: Sequence[str]) -> tuple[Sequence[Any], NDArray[np.float32]]:
            encoded = encoder.encode(texts)
            feed = pad(encoded.ids, encoded.offsets, np.arange(len(texts)))
            outputs = ask({name: array.tolist() for name, array in feed.items()})
            probabilities = np.array(outputs["probabilities"], np.float32)
            return outputs.get("selected") or [labels[best] for best in probabilities.argmax(axis=1)], probabilities

        yield run
