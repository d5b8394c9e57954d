"""textcls: train a small, fast text classifier, classify text files with it, export it as one file.

Example:
    >>> import textcls
    >>> textcls.Config().model.cell
    'lstm'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textcls.classifier import TextClassifier as TextClassifier
    from textcls.config import Config as Config
    from textcls.config import load_config as load_config
    from textcls.data import check as check
    from textcls.data import load_splits as load_splits
    from textcls.data import read_labelled as read_labelled
    from textcls.errors import TextclsError as TextclsError
    from textcls.exports import export as export
    from textcls.inference import ClassifyOptions as ClassifyOptions
    from textcls.inference import Predictor as Predictor
    from textcls.inference import classify_files as classify_files
    from textcls.inference import explain as explain
    from textcls.model import Encoder as Encoder
    from textcls.model import Network as Network
    from textcls.scoring import evaluate as evaluate
    from textcls.training import train as train
    from textcls.training import tune as tune

__version__ = "0.1.0"

# Where each public name lives: it is imported when first asked for, so that `import textcls` stays light.
_HOMES = {
    "ClassifyOptions": "inference",
    "Config": "config",
    "Encoder": "model",
    "Network": "model",
    "Predictor": "inference",
    "TextClassifier": "classifier",
    "TextclsError": "errors",
    "check": "data",
    "classify_files": "inference",
    "evaluate": "scoring",
    "explain": "inference",
    "export": "exports",
    "load_config": "config",
    "load_splits": "data",
    "read_labelled": "data",
    "train": "training",
    "tune": "training",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'textcls' has no attribute {name!r}")
    return getattr(import_module(f"textcls.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
