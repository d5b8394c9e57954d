"""From raw text to token ids: tokenizers, the vocabulary, encoding, pretrained vectors. No torch at import."""

from textcls.text.encoding import Encoded, Encoder, encode_training
from textcls.text.tokenizers import UNICODE_TOKEN, Tokenizer, build_tokenizer
from textcls.text.vocabulary import PAD, SPECIAL_TOKENS, UNK, Vocabulary

__all__ = [
    "PAD",
    "SPECIAL_TOKENS",
    "UNICODE_TOKEN",
    "UNK",
    "Encoded",
    "Encoder",
    "Tokenizer",
    "Vocabulary",
    "build_tokenizer",
    "encode_training",
]
