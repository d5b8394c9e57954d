"""Settings: every fault named, in one line each, with the nearest name that exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from textcls.config import Config, load_config, parse_config, parse_overrides
from textcls.errors import ConfigError

SECTIONS = ("data", "text", "model", "training")


def load(tmp_path: Path, text: str, *overrides: str) -> Config:
    path = tmp_path / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, overrides)


def faults(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, text, *overrides)
    return str(raised.value).replace(f"{tmp_path / 'settings.yaml'}: ", "").splitlines()


def test_every_setting_has_a_description() -> None:
    described = [
        f"{section}.{name}"
        for section in SECTIONS
        for name, field in type(getattr(Config(), section)).model_fields.items()
        if field.description
    ]
    every = [f"{section}.{name}" for section in SECTIONS for name in Config().model_dump()[section]]
    assert described == every
    assert tuple(Config.model_fields) == SECTIONS


def test_all_faults_are_named_together(tmp_path: Path) -> None:
    text = "training: {learning_rate: -1, epoch: 3, device: gpu}\nmodl: {}\ntext: {tokenizer: spaci}\n"
    assert faults(tmp_path, text) == [
        "text.tokenizer: input should be 'unicode', 'spacy', 'basic_english' or 'bpe', not 'spaci'",
        "training.learning_rate: input should be greater than 0, not -1",
        "training.device: must be auto, cpu, cuda, cuda:N or mps, not 'gpu'",
        "training.epoch: unknown setting; did you mean epochs?",
        "modl: unknown setting; did you mean model?",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training: {zzz: 1}", "training.zzz: unknown setting; there are epochs, batch_size,"),
        ("zzz: 1", "zzz: unknown setting; there are data, text, model, training"),
        ("training: {epochs: 0}", "training.epochs: input should be greater than or equal to 1, not 0"),
        ("training: {epochs: many}", "training.epochs: input should be a valid integer"),
        ("training: {epochs: 1.5}", "training.epochs: input should be a valid integer"),
        ("training: {label_smoothing: .nan}", "training.label_smoothing: input should be a finite number"),
        ("training: {label_smoothing: 1}", "training.label_smoothing: input should be less than 1"),
        ("training: {device: 'cuda:x'}", "training.device: must be auto, cpu, cuda, cuda:N or mps, not 'cuda:x'"),
        ("training: {device: 'mps:0'}", "training.device: must be"),
        ("training: [1]", "training: must be a section of settings, not [1]"),
        ("data: {train: {a: b}}", "data.train: must be text or a list of texts, not {'a': 'b'}"),
        ("data: {1: 2}", "data: keys should be strings, not 1"),
        ("1: 2", "the top level: keys should be strings, not 1"),
        ("data: {label: a, labels: b}", "data.label and data.labels exclude each other: name one of them"),
        ("data: {validation_share: 0.5, test_share: 0.5}", "data.validation_share and data.test_share leave no rows"),
        ("text: {extend: -3}", "text.extend: must be auto, or a whole number from 0 to 9223372036854775807, not -3"),
        ("text: {extend: some}", "text.extend: must be auto, or a whole number from 0 to 9223372036854775807, not 'some'"),
        ("text: {tokenizer: basic_english, lowercase: false}", "text.tokenizer basic_english always lower-cases"),
        ("- 1", "expected sections data, text, model and training, found a list"),
    ],
)
def test_a_fault_is_one_clear_line(tmp_path: Path, text: str, expected: str) -> None:
    (line,) = faults(tmp_path, text)
    assert line.startswith(expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"training:\n  epochs: [1", "settings.yaml, line 2: not valid YAML"),
        (b"data: {train: 2020-13-45}", "settings.yaml, line 1: not valid YAML: month must be in 1..12"),
        (b"x: \x01", "settings.yaml: not valid YAML"),
        (
            b"a: !!python/object/apply:os.system [ls]",
            "settings.yaml, line 1: not valid YAML: could not determine a constructor",
        ),
        (b"\xff\xfe", "settings.yaml: is not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_yaml(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert str(raised.value).startswith(str(tmp_path / expected))
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)


def test_overrides_lie_over_the_file(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "training: {epochs: 3, seed: 4}\n",
        *("training.epochs=5", "model.cell=gru", "text.vectors=null", "data.text=[title, body]", "data.label=a=b"),
    )
    assert (config.training.epochs, config.training.seed, config.model.cell) == (5, 4, "gru")
    assert (config.text.vectors, config.data.text, config.data.label) == (None, ("title", "body"), "a=b")


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("epochs=3", "--set epochs: name the section too, for example training.epochs"),
        ("training.epochs", "--set training.epochs: write it as section.name=value"),
        ("=3", "--set =3: write it as section.name=value"),
        ("training.epochs=[", "--set training.epochs=[, line 1: not valid YAML: expected the node content, but found"),
        (
            "data.train=2020-13-45",
            "--set data.train=2020-13-45, line 1: not valid YAML: month must be in 1..12; quote it if it is",
        ),
        ("training.epoch=3", "training.epoch: unknown setting; did you mean epochs?"),
        ("a.b.c=3", "a: unknown setting"),
    ],
)
def test_an_override_that_does_not_fit(tmp_path: Path, item: str, expected: str) -> None:
    (line,) = faults(tmp_path, "", item)
    assert line.startswith(expected)


@pytest.mark.parametrize("name", ["model.ngram_slots", "training.batch_size"])
@pytest.mark.parametrize(
    "value", ["true", "false", "1.5", "-1", "-64", ".nan", ".inf", "1000000000", "null", "Auto", "many", "[64]"]
)
def test_numbers_that_may_be_settled_later_are_whole(tmp_path: Path, name: str, value: str) -> None:
    lowest, given_ = 0 if name == "model.ngram_slots" else 1, yaml.safe_load(value)
    (line,) = faults(tmp_path, "", f"{name}={value}")
    assert line == f"{name}: must be auto, or a whole number from {lowest} to 16777216, not {given_!r}"
    section, _, setting = name.partition(".")
    assert faults(tmp_path, f"{section}: {{{setting}: {value}}}") == [line]
    with pytest.raises(ConfigError) as raised:
        Config().replace({name: given_})
    assert str(raised.value).endswith(line)


@pytest.mark.parametrize("name", ["model.ngram_slots", "training.batch_size"])
@pytest.mark.parametrize(
    ("value", "expected"), [("auto", "auto"), ("2", 2), ("64.0", 64), ("1e3", 1000), ("16777216", 1 << 24)]
)
def test_numbers_may_be_settled_later(tmp_path: Path, name: str, value: str, expected: int | str) -> None:
    section, _, setting = name.partition(".")
    config = load(tmp_path, "", f"{name}={value}")
    found = getattr(getattr(config, section), setting)
    assert (found, type(found)) == (expected, type(expected))
    assert parse_config(yaml.safe_load(config.to_yaml()), "x") == config
    assert getattr(getattr(Config(), section), setting) == "auto"


def test_the_least_of_a_batch_and_of_a_table(tmp_path: Path) -> None:
    assert faults(tmp_path, "", "training.batch_size=0") == [
        "training.batch_size: must be auto, or a whole number from 1 to 16777216, not 0"
    ]
    assert load(tmp_path, "", "training.batch_size=1").training.batch_size == 1
    assert load(tmp_path, "", "model.ngram_slots=0").model.ngram_slots == 0


@pytest.mark.parametrize(
    "name",
    [
        "model.ngram_slots",
        "training.batch_size",
        "training.epochs",
    ],
)
@pytest.mark.parametrize("value", [np.int64(64), np.int32(64), "64"], ids=repr)
def test_numbers_of_numpy_and_in_quotes_are_numbers(name: str, value: Any) -> None:
    """As scikit-learn's searches give them: `{"training__batch_size": np.array([32, 64])}`."""
    section, _, setting = name.partition(".")
    found = getattr(getattr(Config().replace({name: value}), section), setting)
    assert (found, type(found)) == (64, int)


def test_no_vectors_have_a_name(tmp_path: Path) -> None:
    assert Config().text.vectors == "auto"
    for value in ("none", "null"):
        config = load(tmp_path, "", f"text.vectors={value}")
        assert config.text.vectors is None
        assert config == load(tmp_path, f"text: {{vectors: {value}}}") == parse_config(yaml.safe_load(config.to_yaml()), "x")
        assert load(tmp_path, "text: {extend: 3}", f"text.vectors={value}").text.words_beside == 0
    assert load(tmp_path, "text: {extend: 3}").text.words_beside == 3  # if `auto` finds some
    assert load(tmp_path, "").text.words_beside == 20_000


def test_an_override_does_not_hide_a_broken_section(tmp_path: Path) -> None:
    assert faults(tmp_path, "training: [1]", "training.epochs=3") == ["training: must be a section of settings, not [1]"]


def test_empty_files_and_sections_are_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "") == load(tmp_path, "training:\n  # epochs: 3\ndata:\n") == Config()
    assert load(tmp_path, "training:\n", "training.epochs=3").training.epochs == 3


def test_numbers_with_an_exponent_are_numbers(tmp_path: Path) -> None:
    config = load(
        tmp_path, "training: {learning_rate: 1e-3, class_weights: {a: 1e1}}\ndata: {label: 1e3}\n", "training.weight_decay=5E-2"
    )
    assert (config.training.learning_rate, config.training.weight_decay) == (0.001, 0.05)
    assert config.training.class_weights == {"a": 10.0}
    assert config.data.label == "1e3"  # a name stays as it is written


def test_columns_may_be_named_by_number(tmp_path: Path) -> None:
    data = load(tmp_path, "data: {header: false, text: [1, 2]}\n", "data.label=0").data
    assert (data.text, data.label) == (("1", "2"), "0")


@pytest.mark.parametrize(
    ("keys", "expected"), [("0: 1, 1: 2", {"0": 1, "1": 2}), ("true: 1, false: 2", {"true": 1, "false": 2})]
)
def test_class_weights_name_labels_by_their_text(tmp_path: Path, keys: str, expected: dict[str, float]) -> None:
    assert load(tmp_path, f"training: {{class_weights: {{{keys}}}}}").training.class_weights == expected


def test_parse_overrides() -> None:
    assert parse_overrides(["a.b=1", " c.d =x=y", "e.f="]) == {"a.b": 1, "c.d": "x=y", "e.f": None}


def test_replace_leaves_the_original() -> None:
    config = Config()
    changed = config.replace({"training.epochs": 3, "model.bidirectional": False, "training.class_weights": {"a": 2}})
    assert (changed.training.epochs, changed.model.bidirectional, changed.training.class_weights) == (3, False, {"a": 2.0})
    assert changed.replace({"training.epochs": 20, "model.bidirectional": True, "training.class_weights": "none"}) == config
    assert config == Config()
    with pytest.raises(ConfigError, match=r"training\.epoch: unknown setting"):
        config.replace({"training.epoch": 3})


def test_settings_do_not_change() -> None:
    config = Config()
    with pytest.raises(ValidationError):
        config.training.epochs = 3  # type: ignore[misc]
    with pytest.raises(ValidationError):
        config.training = config.training  # type: ignore[misc]


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12) | st.sampled_from(
    ["1e-3", "null", "true", "007", "- x", "#a", "é"]
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "data.train": names | st.lists(names, min_size=1, max_size=3).map(tuple),
            "data.text": names,
            "text.vectors": names.filter(lambda name: name.strip() not in {"none", "auto"}),  # of a meaning of their own
            "training.class_weights": st.dictionaries(names, st.floats(0.01, 100)),
            "training.learning_rate": st.floats(1e-12, 1e3),
            "model.embedding_size": st.none() | st.integers(1, 10**6),
        },
    )
)
def test_yaml_round_trip(tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]) -> None:
    config = Config().replace(changes)
    path = tmp_path_factory.getbasetemp() / "round_trip.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    assert load_config(path) == config
    for name, value in changes.items():
        section, _, setting = name.partition(".")
        assert getattr(getattr(config, section), setting) == value


def test_to_yaml_writes_every_setting_out() -> None:
    assert yaml.safe_load(Config().to_yaml()) == Config().model_dump(mode="json")
    assert parse_config(yaml.safe_load(Config().to_yaml()), "x") == Config()


def test_a_setting_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("training:\n  epochs: 3\n  seed: 1\n  epochs: 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"twice\.yaml, line 4: .*epochs is given twice"):
        load_config(path)


@pytest.mark.parametrize("encoding", ["idna", "punycode", "undefined", "hex", "nonsense"])
def test_codecs_that_no_text_file_is_written_in(encoding: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.encoding: must be an encoding that Python knows"):
        parse_config({"data": {"encoding": encoding}}, "test")
