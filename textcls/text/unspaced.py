"""Letters of scripts that put no spaces between words: the `unicode` tokenizer takes each, with its marks, for a token.

They stand as code points, since Python, RE2 and JavaScript name scripts differently, and so that no newer Unicode changes a model.
"""

from __future__ import annotations

import re

# Runs, in hexadecimal, of the letters and letter numbers that Unicode 15.1 assigns to these scripts, by `Script` or
# `Script_Extensions`: Han, Hiragana, Katakana, Bopomofo, Thai, Lao, Khmer and Myanmar, with `々`, `〆`, `ー` and what else belongs to
# them; not their digits, which make numbers as everywhere.
_RUNS = """
e01-e30 e32-e33 e40-e46 e81-e82 e84 e86-e8a e8c-ea3 ea5 ea7-eb0 eb2-eb3 ebd ec0-ec4 ec6 edc-edf 1000-102a 103f 1050-1055 105a-105d
1061 1065-1066 106e-1070 1075-1081 108e 1780-17b3 17d7 17dc 3005-3007 3021-3029 3031-3035 3038-303c 3041-3096 309d-309f 30a1-30fa
30fc-30ff 3105-312f 31a0-31bf 31f0-31ff 3400-4dbf 4e00-9fff a9e0-a9e4 a9e6-a9ef a9fa-a9fe aa60-aa76 aa7a aa7e-aa7f f900-fa6d
fa70-fad9 ff66-ff9f 16fe3 1aff0-1aff3 1aff5-1affb 1affd-1affe 1b000-1b122 1b132 1b150-1b152 1b155 1b164-1b167 20000-2a6df
2a700-2b739 2b740-2b81d 2b820-2cea1 2ceb0-2ebe0 2ebf0-2ee5d 2f800-2fa1d 30000-3134a 31350-323af
"""


def _class(runs: list[list[int]]) -> str:
    return "".join(chr(run[0]) if len(run) == 1 else f"{chr(run[0])}-{chr(run[-1])}" for run in runs)


_all = [[int(end, 16) for end in run.split("-")] for run in _RUNS.split()]
UNSPACED = _class(_all)
"""The letters, for inside a character class."""
UNSPACED_TOKEN = f"[{UNSPACED}][\\p{{M}}\uff9e\uff9f]*"
"""One of them with its marks; the sound marks of half-width Katakana are letters."""
_low, _high = ([run for run in _all if (run[0] > 0xFFFF) == high] for high in (False, True))
HAS_UNSPACED = re.compile(f"[{_class(_low)}]|(?=[\U00010000-\U0010ffff])[{_class(_high)}]")
"""Finds one of them; those above U+FFFF apart, since Python's sets are quick below it alone."""
