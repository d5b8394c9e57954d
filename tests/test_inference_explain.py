"""Explaining: each token's effect is what leaving it out takes away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import tiny_artifact

from textcls.errors import InputError
from textcls.inference import Predictor, explain
from textcls.inference.explain import explain_given

PREDICTOR = Predictor.from_artifact(tiny_artifact(["good bad film . 1"], labels=(1, 2, 3)))


def probability(text: str, label: int) -> float:
    return float(PREDICTOR.predict([text]).probabilities[0, label])


@pytest.mark.parametrize("label", [None, "1", "2", "3"])
def test_effects_are_those_of_leaving_out(label: str | None) -> None:
    tokens = ["good", "film", ".", "bad", "unheard", "good"]
    found = explain(PREDICTOR, "Good film. bad unheard good", label)
    whole = PREDICTOR.predict([" ".join(tokens)]).probabilities[0]
    chosen = int(whole.argmax()) if label is None else int(label) - 1
    assert found.label == chosen + 1
    assert found.confidence == pytest.approx(whole[chosen], abs=1e-6)
    assert [word.text for word in found.words] == tokens
    assert [word.known for word in found.words] == [True, True, True, True, False, True]
    for place, word in enumerate(found.words):
        without = " ".join(tokens[:place] + tokens[place + 1 :])
        assert word.effect == pytest.approx(whole[chosen] - probability(without, chosen), abs=1e-6)
    assert max(abs(word.effect) for word in found.words) > 1e-3


def test_a_single_token_is_compared_with_the_empty_text() -> None:
    (word,) = explain(PREDICTOR, "good", "1").words
    assert word.effect == pytest.approx(probability("good", 0) - probability("", 0), abs=1e-6)


def test_an_empty_text_has_no_words() -> None:
    found = explain(PREDICTOR, " \n")
    assert found.words == ()
    assert found.confidence == pytest.approx(PREDICTOR.predict([""]).probabilities.max())


def test_what_is_cut_is_not_explained() -> None:
    cut = Predictor.from_artifact(tiny_artifact(["a b c"], max_tokens=2))
    assert [word.text for word in explain(cut, "a b c").words] == ["a", "b"]


def test_an_unknown_label_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="no label '4'; it has 1, 2, 3"):
        explain(PREDICTOR, "good", "4")


MANY = Predictor.from_artifact(replace(tiny_artifact(["good bad film . 1"]), many=True, thresholds=(0.3, 0.9999, 0.2)))


def test_with_many_labels_each_one_that_the_text_gets_is_explained() -> None:
    for text in ("good film", "bad", "1 .", ""):
        whole = MANY.predict([text]).probabilities[0]
        given = [index for index in np.argsort(-whole) if whole[index] >= (0.3, 0.9999, 0.2)[index]]
        assert explain_given(MANY, text) == [explain(MANY, text, ("no", "yes", "maybe")[index]) for index in given]
    assert len({len(explain_given(MANY, text)) for text in ("good", "bad", "film", "1", ".", "good bad", "film 1", "")}) > 1


def test_with_one_label_a_text_that_one_is_explained() -> None:
    assert explain_given(PREDICTOR, "good film") == [explain(PREDICTOR, "good film")]
