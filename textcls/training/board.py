"""TensorBoard's event files of a run: its figures as they come, and at the end its settings beside what they led to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from textcls.config import Config
from textcls.errors import MissingPackageError, shortened

_LONGEST = 200  # characters of a setting, such as the weights of many classes


class Board:
    """Event files of TensorBoard, where they are wanted; else nothing is written.

    Args:
        wanted: Whether they are.

    Raises:
        MissingPackageError: They are, and TensorBoard is not installed.
    """

    def __init__(self, wanted: bool) -> None:
        self._writer: Any = None
        self._make = _writer_class() if wanted else None

    def open(self, folder: Path, stack: ExitStack) -> None:
        """Begin to write in a folder, until the stack closes."""
        if self._make is not None:
            self._writer = self._make(str(folder))
            stack.callback(self._writer.close)

    def scalars(self, row: Mapping[str, Any]) -> None:
        """Write the figures of an epoch, whose number is `epoch`."""
        for name, value in row.items() if self._writer else ():
            if isinstance(value, float):
                self._writer.add_scalar(name, value, row["epoch"])

    def outcome(self, config: Config, metrics: Mapping[str, Mapping[str, Any]]) -> None:
        """Write what the HPARAMS tab compares runs by: the settings by dotted name, and the figures of each split.

        Args:
            config: The settings.
            metrics: Reports by split, each figure in them is written as `split/figure`.
        """
        if self._writer is None:
            return
        from torch.utils.tensorboard.summary import hparams

        figures = {
            f"{split}/{name}": value
            for split, report in metrics.items()
            for name, value in report.items()
            if isinstance(value, float)
        }
        # As the writer's own `add_hparams`, which would make another run of them.
        for summary in hparams(settings_of(config), figures):  # type: ignore[no-untyped-call]
            self._writer.file_writer.add_summary(summary)
        for name, value in figures.items():
            self._writer.add_scalar(name, value)


def settings_of(config: Config) -> dict[str, int | float | str]:
    """Return settings by dotted name: numbers, and all else as text; those that are not given are left out."""
    shown: dict[str, int | float | str] = {}
    for section, settings in config.model_dump(mode="json").items():
        for name, value in settings.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                shown[f"{section}.{name}"] = value
            elif value is not None:
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                shown[f"{section}.{name}"] = shortened(text, _LONGEST)
    return shown


def _writer_class() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingPackageError("training.tensorboard needs TensorBoard: pip install 'textcls[tensorboard]'") from error
    return SummaryWriter
