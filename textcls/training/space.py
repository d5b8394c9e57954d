"""The settings that a search tries, and in which ranges: the one place to change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textcls.config import Config
from textcls.errors import ConfigError
from textcls.training.events import Origin

if TYPE_CHECKING:
    import optuna


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

    @property
    def kind(self) -> str:
        """How a picture shows them: `log` or `linear`."""
        return "log" if self.log else "linear"

    def suggest(self, trial: optuna.Trial, name: str) -> float:
        """Return what a trial proposes for a setting, as people write it: with two digits."""
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return float(f"{trial.suggest_float(name, self.low, self.high, log=self.log):.2g}")

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    """Some values, without an order."""

    values: tuple[str | float | None, ...]
    kind = "choice"

    def suggest(self, trial: optuna.Trial, name: str) -> str | float | None:
        """Return what a trial proposes for a setting."""
        return trial.suggest_categorical(name, self.values)

    def __contains__(self, value: object) -> bool:
        return value in self.values


# None of them but `text.vectors` changes what a text becomes as ids, so that the rows are encoded once for all trials, or once with
# vectors and once without. The defaults lie inside.
SPACE: dict[str, Range | Choice] = {
    # It decides most. Under the lower bound no usual number of epochs is enough; over the upper one the loss jumps.
    "training.learning_rate": Range(5e-4, 2e-2, log=True),
    # The schedule ends with the last epoch, so another number is another course; `training.patience` ends long ones early.
    "training.epochs": Range(8, 40, log=True),
    # Units of a direction. Beyond 256 the CPU is too slow to try enough; under 64 little time is saved.
    "model.hidden_size": Choice((64, 128, 256)),
    # Over a long text the final states forget the middle, where the largest values come from anywhere.
    "model.pooling": Choice(("final", "final+max")),
    # It helps on small sets of sentences, at the price of a second pass in each step; beyond 2 labels come second.
    "training.consistency": Choice((0.0, 0.5, 1.0, 2.0)),
    # They help where texts are of the vectors' language and kind. The given ones or none: see `with_vectors`.
    "text.vectors": Choice(("auto", None)),
    # The linear classifier beside the network seldom harms, as validation rows settle what it weighs; without it the model is small.
    "model.ngram_slots": Choice(("auto", 0)),
    # Balanced weights help macro-F1 where labels are rare, at the cost of accuracy.
    "training.class_weights": Choice(("none", "balanced")),
    # The three dropouts hold a network of this kind back from learning small data sets by heart.
    "model.embedding_dropout": Range(0.0, 0.6),
    "model.output_dropout": Range(0.0, 0.7),
    "training.word_dropout": Range(0.0, 0.3),
    # The others are searched where they are asked for by name: each more setting takes trials from those that decide.
    # Smaller batches cost time and seldom gain anything; larger ones leave a small data set too few steps.
    "training.batch_size": Choice(("auto", 32, 128)),
    # It does what dropout does, and calibration undoes a part of it.
    "training.label_smoothing": Range(0.0, 0.15),
    # AdamW multiplies it by the learning rate: under the lower bound it does nothing at all.
    "training.weight_decay": Range(1e-3, 0.3, log=True),
    # It averages over about 1 / (1 - decay) steps: from a part of an epoch to some of them.
    "training.average": Choice((0.99, 0.995, 0.998, 0.999)),
}
ASKED_FOR = ("training.batch_size", "training.label_smoothing", "training.weight_decay", "training.average")
"""Those that are searched only where they are named."""

KNOWN_GOOD: tuple[Mapping[str, Any], ...] = (
    {"training.epochs": 10},  # long texts, and many of them
    {"training.consistency": 1.0, "training.learning_rate": 2e-3},  # sentences
    {"model.hidden_size": 256, "training.epochs": 40},  # many classes
)
"""What helped on public data sets (see `configs`), beside the defaults; the quickest first."""


def searched(names: Sequence[str] | None, fixed: Sequence[str] = ()) -> dict[str, Range | Choice]:
    """Return the part of `SPACE` to search.

    Args:
        names: The settings to search; all but those of `ASKED_FOR` where None.
        fixed: Settings to leave as they are, unless `names` has them.

    Raises:
        ConfigError: A setting is not in `SPACE`, or none is left.
    """
    if unknown := [name for name in names or () if name not in SPACE]:
        raise ConfigError(f"--search {unknown[0]}: cannot be searched; there are {', '.join(SPACE)}")
    left_out = {*fixed, *ASKED_FOR}
    space = {name: values for name, values in SPACE.items() if (name in names if names else name not in left_out)}
    if not space:
        raise ConfigError(
            "every setting that can be searched is fixed: leave one of them out of --set, or name it with --search"
        )
    return space


def with_vectors(space: Mapping[str, Range | Choice], config: Config, *, found: bool) -> dict[str, Range | Choice]:
    """Return a space whose `text.vectors` are the given ones or none; without it where there are none.

    Args:
        space: Some settings.
        config: The given ones.
        found: Whether `text.vectors` led to vectors.

    Raises:
        ConfigError: There are none, and nothing else is searched.
    """
    fitting = dict(space)
    if "text.vectors" in space:
        if found:
            fitting["text.vectors"] = Choice((config.text.vectors, None))
        else:
            del fitting["text.vectors"]
    if not fitting:
        raise ConfigError("text.vectors: there are none to try, as none are given or here: search something else too")
    return fitting


def starts(space: Mapping[str, Range | Choice], config: Config) -> list[tuple[Origin, dict[str, Any]]]:
    """Return what a search tries first, each once, and where it comes from: as changes of the given settings.

    They are the given settings, the defaults of textcls and what is known to help beside them. Of all of these only settings that
    are searched count, and vectors stay as they are given, like data.
    """
    default = {name: setting(Config(), name) for name in space if name != "text.vectors"}
    known = ({name: value for name, value in good.items() if name in space} for good in KNOWN_GOOD)
    found: list[tuple[Origin, dict[str, Any]]] = [("given", {}), ("default", changes(config, default))]
    found += [("known", changes(config, default | values)) for values in known]
    return [start for place, start in enumerate(found) if start[1] not in [before for _, before in found[:place]]]


def setting(config: Config, name: str) -> Any:
    """Return the value of a dotted setting."""
    section, _, field = name.partition(".")
    return getattr(getattr(config, section), field)


def changes(config: Config, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of some dotted settings that differ from the config's."""
    return {name: value for name, value in values.items() if setting(config, name) != value}
