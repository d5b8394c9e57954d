"""Tokenizers: text to tokens, one function for training, evaluation, classification and export.

Every tokenizer here works on chunks, the pieces of a text between white space: no token crosses one. So a chunk seen before
need not be tokenized again, which is what makes encoding fast (see `textcls.text.encoding`). The exception are the languages whose
spaCy tokenizer is not rule-based (Chinese, Japanese, Korean, Thai, Vietnamese and others): there the whole text is one chunk.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

import regex

from textcls.config import TextSettings
from textcls.errors import ConfigError, MissingPackageError
from textcls.text.subwords import Subwords
from textcls.text.unassigned import NEVER_ASSIGNED, UNASSIGNED
from textcls.text.unspaced import HAS_UNSPACED, UNSPACED, UNSPACED_TOKEN

SPACE = r"\p{Z}\x09-\x0d\x1c-\x1f\x85"
"""White space inside a character class: what `str.split` splits on, written out because RE2's `\\s` is ASCII only."""
_SYMBOL = rf"[^\p{{L}}\p{{M}}\p{{N}}_{SPACE}]"
_WHOLE_TOKEN = rf"[\p{{L}}\p{{M}}\p{{N}}_]+|{_SYMBOL}"
_SPLIT_TOKEN = rf"{UNSPACED_TOKEN}|(?:[^\P{{L}}{UNSPACED}]|[^\P{{N}}{UNSPACED}]|\p{{M}}|_)+|{_SYMBOL}"
LONGEST_RULE_CHUNK = 200
"""Characters of a chunk above which `spacy` gives way to `unicode`: spaCy's time is quadratic on runs of punctuation."""

_DIGIT = re.compile(r"\d")
_find_whole, _find_split = (regex.compile(token, regex.V0).findall for token in (_WHOLE_TOKEN, _SPLIT_TOKEN))


def unicode_token(split_unspaced: bool) -> str:
    """Return the expression that matches a token of `unicode`: the same tokens in Python's `regex`, RE2 and JavaScript.

    That is a run of letters, marks, digits and underscores, or one other symbol. ONNX Runtime takes the longest match and the others
    the first, so that no two alternatives may begin with the same character.

    Args:
        split_unspaced: Whether a letter of a script without spaces is a token of its own, with its marks.
    """
    return _SPLIT_TOKEN if split_unspaced else _WHOLE_TOKEN


class Tokenizer(Protocol):
    """Splits a text into chunks and a chunk into tokens."""

    def chunks(self, text: str) -> list[str]:
        """Return the pieces of the text that are tokenized on their own."""

    def tokens(self, chunk: str) -> list[str]:
        """Return the tokens of one chunk."""


def lower_each(text: str) -> str:
    """Lower-case one code point at a time, as an exported graph does.

    `str.lower` differs for two code points alone: `İ` becomes `i` and a combining dot there, and a `Σ` at a word's end `ς`.
    """
    if not text.isascii():
        text = text.replace("\u0130", "i").replace("\u03a3", "\u03c3")
    return text.lower()


class UnicodeTokenizer:
    """One regular expression over letters, marks, digits and single symbols; lower-cased before it splits.

    Letters, marks and digits are those of Unicode 15.1, the tables of ONNX Runtime's RE2, whatever newer ones `regex` has: a code
    point that is younger is a symbol, and keeps its case.

    Args:
        lowercase: Whether tokens are lower-cased.
        split_unspaced: Whether each letter of a script that has no spaces between words is a token, with its marks.
    """

    def __init__(self, lowercase: bool = True, split_unspaced: bool = True) -> None:
        self.lowercase, self.split_unspaced = lowercase, split_unspaced

    def chunks(self, text: str) -> list[str]:
        """Return the pieces between white space."""
        return text.split()

    def tokens(self, chunk: str) -> list[str]:
        """Return the tokens of one chunk."""
        if chunk.isascii():
            return _find_whole(chunk.lower() if self.lowercase else chunk)
        find = _find_split if self.split_unspaced and HAS_UNSPACED.search(chunk) else _find_whole
        if not UNASSIGNED.search(chunk):
            return find(lower_each(chunk) if self.lowercase else chunk)
        unassigned = iter(UNASSIGNED.findall(chunk))
        chunk = UNASSIGNED.sub(NEVER_ASSIGNED, chunk)
        tokens = find(lower_each(chunk) if self.lowercase else chunk)
        return [next(unassigned) if token == NEVER_ASSIGNED else token for token in tokens]


class BasicEnglishTokenizer:
    """The tokens of torchtext's `basic_english`, by our own expression, so that a saved model needs no torchtext."""

    _SPACED = str.maketrans({"'": " '  ", '"': None, ";": " ", ":": " "} | {c: f" {c} " for c in ".,()!?"})

    def chunks(self, text: str) -> list[str]:
        """Return the pieces between white space, once the HTML line break, which holds a blank, has become white space."""
        text = text.lower().replace('"', "")  # quotes go first: they may stand inside the line break
        return text.replace("<br />", " ").split()

    def tokens(self, chunk: str) -> list[str]:
        """Return the tokens of one chunk."""
        return chunk.translate(self._SPACED).split()


class SpacyTokenizer:
    """The blank spaCy tokenizer of one language, lower-cased after it splits, white-space tokens dropped.

    spaCy is imported when the first chunk is tokenized. `long_chunks` counts the chunks that went through `unicode` instead.

    Raises:
        ConfigError: spaCy knows no such language.
        MissingPackageError: spaCy, or a package that the language's tokenizer needs, is not installed.
    """

    def __init__(self, language: str, lowercase: bool = True, split_unspaced: bool = True) -> None:
        self.language = language
        self.lowercase = lowercase
        self.long_chunks = 0
        self._unicode = UnicodeTokenizer(lowercase, split_unspaced)
        self._tokenize: Callable[[str], list[str]] | None = None
        self._rule_based = True

    def _load(self) -> Callable[[str], list[str]]:
        try:
            import spacy
            from spacy.tokenizer import Tokenizer as RuleTokenizer
        except ImportError as error:
            raise MissingPackageError("text.tokenizer spacy: spaCy is not installed here: pip install spacy") from error
        try:
            tokenizer = spacy.blank(self.language).tokenizer
        except ImportError as error:
            reason = str(error).strip().splitlines()[0]
            if "Can't import language" in reason or "E048" in reason:
                raise ConfigError(f"text.language: spaCy knows no language {self.language!r}; use a code such as en") from None
            raise MissingPackageError(
                f"text.language {self.language}: its spaCy tokenizer needs a package: {reason}"
            ) from error
        self._rule_based = isinstance(tokenizer, RuleTokenizer)
        self._tokenize = lambda text: [token.text for token in tokenizer(text) if not token.is_space]
        return self._tokenize

    def chunks(self, text: str) -> list[str]:
        """Return the pieces between white space, or the whole text where the language has a tokenizer of its own."""
        if self._tokenize is None:
            self._load()
        return text.split() if self._rule_based else [text]

    def tokens(self, chunk: str) -> list[str]:
        """Return the tokens of one chunk."""
        if self._rule_based and len(chunk) > LONGEST_RULE_CHUNK:
            self.long_chunks += 1
            return self._unicode.tokens(chunk)
        tokens = (self._tokenize or self._load())(chunk)
        return [token.lower() for token in tokens] if self.lowercase else tokens


class BpeTokenizer:
    """Parts of words, of which those at a word's beginning are told apart by a `▁` in front.

    Args:
        subwords: Which parts there are.
        lowercase: Whether words are lower-cased before.
        zero_digits: Whether each digit becomes a 0 before.
    """

    def __init__(self, subwords: Subwords, lowercase: bool = True, zero_digits: bool = False) -> None:
        self.subwords, self.lowercase, self.zero_digits = subwords, lowercase, zero_digits

    def chunks(self, text: str) -> list[str]:
        """Return the pieces between white space."""
        return text.split()

    def tokens(self, chunk: str) -> list[str]:
        """Return the tokens of one chunk."""
        return self.subwords.split(plain_word(chunk, self.lowercase, self.zero_digits))


def plain_word(word: str, lowercase: bool, zero_digits: bool) -> str:
    """Return a word as `bpe` splits it."""
    word = lower_each(word) if lowercase else word
    return _DIGIT.sub("0", word) if zero_digits else word


def build_tokenizer(settings: TextSettings, subwords: Subwords | None = None) -> Tokenizer:
    """Return the tokenizer that the settings name; `bpe` needs to know the parts of words."""
    if settings.tokenizer == "bpe":
        assert subwords is not None
        return BpeTokenizer(subwords, settings.lowercase, settings.zero_digits)
    if settings.tokenizer == "spacy":
        return SpacyTokenizer(settings.language, settings.lowercase, settings.split_unspaced)
    if settings.tokenizer == "basic_english":
        return BasicEnglishTokenizer()
    return UnicodeTokenizer(settings.lowercase, settings.split_unspaced)
