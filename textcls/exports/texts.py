"""The texts on which an export is compared with the trained model: real ones, and hard ones."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

from textcls.artifact import Artifact
from textcls.data import Rows
from textcls.errors import InputError
from textcls.exports.validation import NoValidationError, recorded_rows
from textcls.text import SPECIAL_TOKENS

MOST_TEXTS = 1000
LONG_TEXT_TOKENS = 20_000
MOST_WORDS = 20_000  # of the vocabulary that the comparison sees, besides those of its other texts
_WORDS_A_TEXT = 20  # few enough that each shows in the probabilities

HARD_TEXTS = (
    "",
    " \t\r\n\x1c\x1f\x85\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000",  # every kind of white space
    "a\u00a0b\u3000c\u2028d\x85e\x1cf\x0bg",
    "\u200b\u200c\u200d\ufeff",  # zero-width characters are no white space
    "x\u200by",
    "İstanbul IĞDIR ıi",  # `İ` is two code points in Python's lower case
    "ΣΑΣ ΟΔΥΣΣΕΥΣ Σ.",  # and a final sigma another letter
    "STRASSE ẞ ß ŉ ǰ ﬁ",
    "naïve nai\u0308ve e\u0301 \u0301 a\u0336b",  # combining marks, one of them alone
    "👍 👍🏽 👩‍👩‍👧 🇫🇷 ☃️ 😀😀",  # emoji with modifiers and joiners
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐐀𐐨 𠮷野家",  # beyond the basic plane
    "हिन्दी ไทย العربية עברית 한국어 中文,日本語。",
    "١٢٣ ① ² ½ Ⅷ 1.5 3,000 1e-5",
    "don't can't l'été rock'n'roll o’clock",
    "e-mail: a_b@c.de https://x.org/?q=1&r=2#s",
    "<pad> <unk> <PAD> pad unk",
    "!!!??? ... (((())) — – -- '' `` \"quoted\"",
    "snake_case CamelCase __init__ _",
    "\ufffd\ufffe\uffff \u00ad",
    "\ud800 lone \udfff",  # reads as U+FFFD
    "nul\x00nul \x00",
    "\x01\x02\x07\x1b[31m\x7f",
    "word" * 2500,  # one very long word
    "(" * 2000,
)


def hard_texts() -> list[str]:
    """Return texts on which exports of text classifiers are known to go wrong."""
    return list(HARD_TEXTS)


def real_texts(artifact: Artifact, model: Path, file: str | Path | None) -> tuple[list[str], str]:
    """Return up to 1,000 texts and where they came from.

    Args:
        artifact: The trained model.
        model: Its folder; where it lies in a run folder whose data is at hand and unchanged, the run's validation split is taken.
        file: A file of texts, one a line, taken instead.

    Raises:
        InputError: The file cannot be read or has no text.
    """
    if file is not None:
        return _lines(Path(file)), f"texts of {Path(file).name}"
    try:
        texts = recorded_rows(model).texts[:MOST_TEXTS]
    except NoValidationError as reason:
        return drawn_texts(artifact), f"texts drawn from the vocabulary ({reason})"
    return texts, f"{len(texts):,} texts of the run's validation split"


def _lines(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"--texts {file}: cannot be read: {error.strerror}; name a file of texts, one a line") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"--texts {file}: is not UTF-8 text (at byte {error.start:,}); write one text a line, in UTF-8"
        ) from error
    texts = [line for line in lines if line.strip()][:MOST_TEXTS]
    if not texts:
        raise InputError(f"--texts {file}: has no text; put one on each line")
    return texts


def validation_rows(model: Path) -> Rows | None:
    """Return the validation split of the run in which a model folder lies, where its data is at hand and unchanged."""
    with suppress(NoValidationError):
        return recorded_rows(model)
    return None


def drawn_texts(artifact: Artifact, count: int = MOST_TEXTS) -> list[str]:
    """Return random texts of the vocabulary's words and spoilt forms of them; always the same for one vocabulary."""
    draw = random.Random(0)
    return [_drawn(draw, artifact, draw.randint(1, 60)) for _ in range(count)]


def texts_of_all_words(artifact: Artifact) -> list[str]:
    """Return texts in which each word of the vocabulary stands once; of a larger one the `MOST_WORDS` most frequent words."""
    words = artifact.vocabulary.tokens[len(SPECIAL_TOKENS) :][:MOST_WORDS]
    return [" ".join(words[start : start + _WORDS_A_TEXT]) for start in range(0, len(words), _WORDS_A_TEXT)]


def long_text(artifact: Artifact, tokens: int) -> str:
    """Return one text of the same kind, of at least so many tokens: no part of it repeats another, so none stands for another."""
    return _drawn(random.Random(1), artifact, tokens)


def _drawn(draw: random.Random, artifact: Artifact, count: int) -> str:
    words = artifact.vocabulary.tokens[len(SPECIAL_TOKENS) :] or ("word",)

    def spoilt(word: str) -> str:
        form = draw.randrange(8)
        if form < 4:
            return word
        return (word.upper(), word.title(), word[::-1], word + draw.choice(".,!?;:)'\"\u2026"))[form - 4]

    return " ".join(spoilt(draw.choice(words)) for _ in range(count))
