"""Whether a tokenizer fits the texts: what makes it doubtful, with the setting that helps."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import regex

from textcls.config import TextSettings
from textcls.text.unspaced import HAS_UNSPACED

_MOST_ONCE = 0.88  # share of the different tokens: in twenty thousand English texts it is .3 to .6, in sixty .5 to .83
_SPLITTING = frozenset({"ja", "th", "zh"})  # languages whose spaCy tokenizer finds words, or letters, where there are no spaces
_LOOKED_AT = 2000  # texts
_letters = regex.compile(r"\p{L}").findall


def doubt_of_tokens(once: float, settings: TextSettings) -> str | None:
    """Doubt a tokenizer whose tokens hardly ever come again.

    Args:
        once: Share of the different tokens that occur once in the training texts.
        settings: How these are split.
    """
    if once <= _MOST_ONCE:
        return None
    advice = "; text.tokenizer=bpe learns parts of words"
    if settings.tokenizer == "bpe":
        given = settings.bpe_model is not None
        advice = (
            "; take a .model of the language, or leave it out to learn one"
            if given
            else "; text.bpe_size=1000 makes shorter ones"
        )
    return (
        f"tokens that occur only once: {once:.0%} of all different ones; there are too few texts, or text.tokenizer "
        f"{settings.tokenizer} does not fit the language{advice}"
    )


def doubt_of_script(texts: Iterable[str], settings: TextSettings) -> str | None:
    """Doubt a tokenizer that takes whole clauses for tokens, since their script has no spaces.

    Args:
        texts: Of the training split; the first 2,000 are looked at.
        settings: How they are split.
    """
    if _splits_unspaced(settings):
        return None
    letters = [letter for text in islice(texts, _LOOKED_AT) for letter in _letters(text)]
    unspaced = sum(HAS_UNSPACED.match(letter) is not None for letter in letters)
    if 2 * unspaced <= len(letters):
        return None
    advice = "text.split_unspaced=true" if settings.tokenizer == "unicode" else "text.tokenizer=unicode"
    return (
        f"most letters are of a script without spaces, which text.tokenizer {settings.tokenizer} does not split: "
        f"{advice} makes each a token"
    )


def _splits_unspaced(settings: TextSettings) -> bool:
    if settings.tokenizer == "unicode":
        return settings.split_unspaced
    return settings.tokenizer == "bpe" or (settings.tokenizer == "spacy" and settings.language in _SPLITTING)
