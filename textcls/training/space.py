"""The settings that a search tries, and in which ranges: the one place to change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textcls.config import Config
from textcls.errors import ConfigError


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both among them; whole ones where the bounds are.

    Attributes:
        low: The smallest.
        high: The largest.
        log: Whether equal ratios count alike, rather than equal steps.
    """

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether these are whole numbers."""
        return isinstance(self.low, int)

    def plain(self, value: Any) -> Any:
        """Return a value as people write it, with two digits."""
        return value if self.whole else float(f"{value:.2g}")

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    """Some values, without an order."""

    values: tuple[str | float, ...]

    def plain(self, value: Any) -> Any:
        """Return a value as it is."""
        return value

    def __contains__(self, value: object) -> bool:
        return value in self.values


# None of them changes what a text becomes as ids, so that the rows are encoded once for all trials. The defaults lie inside.
SPACE: dict[str, Range | Choice] = {
    # It decides most. Under the lower bound no usual number of epochs is enough; over the upper one the loss jumps.
    "training.learning_rate": Range(5e-4, 2e-2, log=True),
    # The schedule ends with the last epoch, so another number is another course; `training.patience` ends long ones early.
    "training.epochs": Range(8, 40, log=True),
    # Smaller batches cost time and seldom gain anything; larger ones leave a small data set too few steps.
    "training.batch_size": Choice((32, 64, 128)),
    # Units of a direction. Beyond 256 the CPU is too slow to try enough; under 64 little time is saved.
    "model.hidden_size": Choice((64, 128, 256)),
    # The three dropouts and label smoothing hold a network of this kind back from learning small data sets by heart.
    "model.embedding_dropout": Range(0.0, 0.6),
    "model.output_dropout": Range(0.0, 0.7),
    "training.word_dropout": Range(0.0, 0.3),
    "training.label_smoothing": Range(0.0, 0.15),
    # AdamW multiplies it by the learning rate: under the lower bound it does nothing at all.
    "training.weight_decay": Range(1e-3, 0.3, log=True),
    # It averages over about 1 / (1 - decay) steps: from a part of an epoch to some of them.
    "training.average": Choice((0.99, 0.995, 0.998, 0.999)),
    # Balanced weights help macro-F1 where labels are rare, at the cost of accuracy.
    "training.class_weights": Choice(("none", "balanced")),
}


def searched(names: Sequence[str] | None, fixed: Sequence[str] = ()) -> dict[str, Range | Choice]:
    """Return the part of `SPACE` to search.

    Args:
        names: The settings to search, all of them where None.
        fixed: Settings to leave as they are, unless `names` has them.

    Raises:
        ConfigError: A setting is not in `SPACE`, or none is left.
    """
    if unknown := [name for name in names or () if name not in SPACE]:
        raise ConfigError(f"--search {unknown[0]}: cannot be searched; there are {', '.join(SPACE)}")
    space = {name: values for name, values in SPACE.items() if (name in names if names else name not in fixed)}
    if not space:
        raise ConfigError(
            "every setting that can be searched is fixed: leave one of them out of --set, or name it with --search"
        )
    return space


def setting(config: Config, name: str) -> Any:
    """Return the value of a dotted setting."""
    section, _, field = name.partition(".")
    return getattr(getattr(config, section), field)


def changes(config: Config, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of some dotted settings that differ from the config's."""
    return {name: value for name, value in values.items() if setting(config, name) != value}
