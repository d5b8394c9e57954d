"""From raw text to token ids: tokenizers, the vocabulary, encoding, pretrained vectors. No torch at import."""

from textcls.text.encoding import Encoded, Encoder, encode_training
from textcls.text.tokenizers import Tokenizer, build_tokenizer, unicode_token
from textcls.text.vocabulary import FIRST_FACTOR, PAD, SPECIAL_TOKENS, UNK, WORD_FACTOR, Vocabulary

__all__ = [
    "FIRST_FACTOR",
    "PAD",
    "SPECIAL_TOKENS",
    "UNK",
    "WORD_FACTOR",
    "Encoded",
    "Encoder",
    "Tokenizer",
    "Vocabulary",
    "build_tokenizer",
    "encode_training",
    "unicode_token",
]
