"""From raw text to token ids: tokenizers, the vocabulary, encoding, pretrained vectors. No torch at import."""
