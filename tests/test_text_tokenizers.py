"""Tokenizers: exact examples, the fields' own definitions, and texts that are meant to hurt."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import regex
from clients import node
from hypothesis import given
from hypothesis import strategies as st

from textcls.config import TextSettings
from textcls.errors import ConfigError, MissingPackageError
from textcls.exports.texts import HARD_TEXTS
from textcls.text import Tokenizer, build_tokenizer, unicode_token
from textcls.text.encoding import replace_surrogates
from textcls.text.tokenizers import (
    LONGEST_RULE_CHUNK,
    SPACE,
    BasicEnglishTokenizer,
    SpacyTokenizer,
    UnicodeTokenizer,
    lower_each,
)
from textcls.text.unassigned import UNASSIGNED
from textcls.text.unspaced import HAS_UNSPACED

needs_torchtext = pytest.mark.skipif(importlib.util.find_spec("torchtext") is None, reason="torchtext has no wheel here")
EVERY_CHARACTER = [chr(point) for point in range(0x30000)]
# Every code point, and often those that tokenizers trip over.
any_text = st.text(
    st.characters(exclude_categories=["Cs"])
    | st.sampled_from("aZİΣσ' \".,:;()?!<br/>\x00\x1c\x85\u2028\u3000e\u0301👍🏽_手ーกｶ\uff9e\u0e49𠀀7")
)
LONG = {"parentheses": "(" * 1_000_000, "equals": "=" * 1_000_000, "letters": "a" * 1_000_000}


@pytest.fixture(scope="module")
def english() -> SpacyTokenizer:
    tokenizer = SpacyTokenizer("en")
    tokenizer.chunks("")  # imports spaCy
    return tokenizer


def tokens(tokenizer: Tokenizer, text: str) -> list[str]:
    return list(chain.from_iterable(map(tokenizer.tokens, tokenizer.chunks(text))))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\u3000\x85", []),
        ("Don't STOP, e.g. 3.5%!", ["don", "'", "t", "stop", ",", "e", ".", "g", ".", "3", ".", "5", "%", "!"]),
        ("snake_case __init__", ["snake_case", "__init__"]),
        ("nai\u0308ve \u0301", ["nai\u0308ve", "\u0301"]),
        ("हिन्दी 日本語。", ["हिन्दी", "日", "本", "語", "。"]),
        ("3D打印, A股上涨2%", ["3d", "打", "印", ",", "a", "股", "上", "涨", "2", "%"]),
        ("コーヒー ｶﾞﾗｽ 人々 〆切 か\u3099", ["コ", "ー", "ヒ", "ー", "ｶﾞ", "ﾗ", "ｽ", "人", "々", "〆", "切", "か\u3099"]),
        ("น้ำดี ๑๒", ["น้", "ำ", "ดี", "๑๒"]),
        ("ພາສາລາວ ខ្មែរ မြန်မာ", ["ພ", "າ", "ສ", "າ", "ລ", "າ", "ວ", "ខ្", "មែ", "រ", "မြ", "န်", "မာ"]),
        ("한국어 ㄅㄆ 𠀀𠀁", ["한국어", "ㄅ", "ㄆ", "𠀀", "𠀁"]),
        ("a\u0301手\u0301\u0302b", ["a\u0301", "手\u0301\u0302", "b"]),
        ("x²½Ⅷ", ["x²½ⅷ"]),
        ("👍🏽!!", ["👍", "🏽", "!", "!"]),
        ("a\u200bb nul\x00nul", ["a", "\u200b", "b", "nul", "\x00", "nul"]),
        ("<pad><unk>", ["<", "pad", ">", "<", "unk", ">"]),
        ("İSTANBUL ΟΔΟΣ", ["istanbul", "οδοσ"]),
    ],
)
def test_unicode_by_example(text: str, expected: list[str]) -> None:
    assert tokens(UnicodeTokenizer(), text) == expected


@pytest.mark.parametrize("text", ["日本語。", "手机很好 a1", "น้ำดี", "コーヒー"])
def test_models_of_before_take_a_run_of_unspaced_letters_for_a_token(text: str) -> None:
    assert tokens(UnicodeTokenizer(split_unspaced=False), text) == regex.findall(
        r"[\p{L}\p{M}\p{N}]+|[^\p{L}\p{M}\p{N}\s]", text
    )


def test_the_unspaced_letters_are_those_that_unicode_assigns_to_their_scripts() -> None:
    scripts = ("Han", "Hiragana", "Katakana", "Bopomofo", "Thai", "Lao", "Khmer", "Myanmar")
    of_script = regex.compile("|".join(rf"\p{{scx={script}}}" for script in scripts))
    letter, modifier = regex.compile(r"[\p{L}\p{Nl}]"), regex.compile("[\u02b0-\u02ff]")  # tone marks that Latin uses as well
    for character in map(chr, [*range(0xD800), *range(0xE000, 0x110000)]):
        wanted = bool(letter.match(character) and of_script.match(character)) and not modifier.match(character)
        assert bool(HAS_UNSPACED.match(character)) == (wanted and not UNASSIGNED.match(character)), hex(ord(character))


def test_case_is_kept_where_it_is_wanted() -> None:
    assert tokens(UnicodeTokenizer(lowercase=False), "İstanbul ΟΔΟΣ") == ["İstanbul", "ΟΔΟΣ"]


def test_lower_each_differs_from_lower_for_two_letters_alone() -> None:
    assert [c for c in EVERY_CHARACTER if lower_each(c) != c.lower()] == ["\u0130"]
    # Within a word too: every letter between two others, where `str.lower` may look at its neighbours.
    between = " ".join(f"a{c}b" for c in EVERY_CHARACTER if c not in "\u0130")
    assert lower_each(between) == between.lower()
    at_the_end = "\n".join(f"a{c}" for c in EVERY_CHARACTER if c not in "\u0130\u03a3")
    assert lower_each(at_the_end) == at_the_end.lower()
    assert (lower_each("ΑΣ"), "ΑΣ".lower()) == ("ασ", "ας")


@given(any_text)
def test_lower_each_goes_code_point_by_code_point(text: str) -> None:
    assert lower_each(text) == "".join("i" if c == "İ" else c.lower() for c in text)


def test_space_is_what_split_splits_on() -> None:
    space = regex.compile(f"[{SPACE}]")
    assert [c for c in EVERY_CHARACTER if bool(space.match(c)) != (f"a{c}b".split() != [f"a{c}b"])] == []


@pytest.mark.parametrize("lowercase", [True, False])
def test_what_is_younger_than_unicode_15_is_a_symbol_with_its_own_case(lowercase: bool) -> None:
    garay = "\U00010d50\U00010d51"  # capital letters of Unicode 16
    assert tokens(UnicodeTokenizer(lowercase), f"a{garay}b\uffff c\x00é") == ["a", *garay, "b", "\uffff", "c", "\x00", "é"]


def in_company(point: str) -> str:
    """Return a text in which a code point stands alone, and beside a letter, a digit, a mark, an ideograph and itself."""
    around = ["a", "7", "\u0301", "手", "ก", "_", "-", point]
    before, behind = (f"{one}{point}" for one in around), (f"{point}{one}" for one in around)
    return " ".join([point, *before, *behind, f"a{point}b", f"手{point}手"])


def tokenizer_of_onnx_runtime(expression: str) -> Callable[[list[str]], list[list[str]]]:
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper

    node = helper.make_node(
        "Tokenizer",
        ["text"],
        ["tokens"],
        domain="com.microsoft",
        mark=0,
        mincharnum=1,
        pad_value="<pad>",
        tokenexp=expression,
    )
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "t", [value("text", TensorProto.STRING, ["n"])], [value("tokens", TensorProto.STRING, ["n", "m"])]
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def found(texts: list[str]) -> list[list[str]]:
        (rows,) = session.run(None, {"text": np.array(texts, dtype=object)})
        return [[token for token in row if token != "<pad>"] for row in rows.tolist()]

    return found


@pytest.mark.parametrize("step", [41, pytest.param(1, marks=pytest.mark.slow)])
def test_every_code_point_is_in_onnx_runtime_what_it_is_here(step: int) -> None:
    # Beyond U+33000 only some selectors are assigned as yet: of the rest a sample is enough.
    numbers = {*range(0, 0x33000, step), *range(0xE0000, 0xE0200, step), *range(0, 0x110000, 41)}
    points = [chr(number) for number in sorted(numbers) if not 0xD800 <= number < 0xE000]
    for split_unspaced in (True, False):
        in_onnx_runtime = tokenizer_of_onnx_runtime(unicode_token(split_unspaced))
        tokenizer, wrong = UnicodeTokenizer(lowercase=False, split_unspaced=split_unspaced), []
        for start in range(0, len(points), 4096):
            texts = list(map(in_company, points[start : start + 4096]))
            for text, found in zip(texts, in_onnx_runtime(texts), strict=True):
                if found != tokens(tokenizer, text):
                    wrong.append(ascii(text))
        assert wrong == []
    assert [hex(ord(point)) for point in points if UNASSIGNED.match(point) and point.lower() != point] == []


FIND_IN_NODE = """
const task = JSON.parse(require("fs").readFileSync(0, "utf8"));
const token = new RegExp(task.token, "gu");
console.log(JSON.stringify(task.texts.map((text) => text.match(token) ?? [])));
"""


@pytest.mark.node
@pytest.mark.parametrize("step", [41, pytest.param(1, marks=pytest.mark.slow)])
def test_a_browser_finds_the_same_tokens(step: int, tmp_path: Path) -> None:
    """As the page does that `--to web` writes; of what Unicode 15.1 does not assign, newer browsers know more."""
    (tmp_path / "find.cjs").write_text(FIND_IN_NODE, encoding="utf-8")
    points = [chr(number) for number in range(0, 0x33000, step) if not 0xD800 <= number < 0xE000]
    texts = [in_company(point) for point in points if not UNASSIGNED.match(point)]
    for split_unspaced in (True, False):
        found = node(tmp_path / "find.cjs", {"token": unicode_token(split_unspaced), "texts": texts})
        tokenizer = UnicodeTokenizer(lowercase=False, split_unspaced=split_unspaced)
        assert [ascii(text) for text, row in zip(texts, found, strict=True) if row != tokens(tokenizer, text)] == []


@given(any_text, st.booleans(), st.booleans())
def test_chunk_by_chunk_is_the_expression_over_the_whole_text(text: str, lowercase: bool, split_unspaced: bool) -> None:
    whole = regex.findall(unicode_token(split_unspaced), lower_each(text) if lowercase else text)
    found = tokens(UnicodeTokenizer(lowercase, split_unspaced), text)
    if UNASSIGNED.search(text):  # letters younger than Unicode 15.1 among them are symbols
        assert "".join(whole) == "".join(found)
        return
    assert found == whole


@needs_torchtext
@given(any_text)
def test_basic_english_is_torchtexts(text: str) -> None:
    from textcls.text._torchtext import basic_english

    assert tokens(BasicEnglishTokenizer(), text) == basic_english()(text)


@needs_torchtext
def test_basic_english_is_torchtexts_on_hard_texts() -> None:
    from textcls.text._torchtext import basic_english

    html = ["a<br />b", "A<BR />b", 'a<br" />b', "a<br  />b<br/>c", "it's 'q' \"x\" a;b:c (d)!?."]
    for text in [*replace_surrogates(HARD_TEXTS), *html, *EVERY_CHARACTER[:0xD800:7]]:
        assert tokens(BasicEnglishTokenizer(), text) == basic_english()(text)


@cache
def spacy_tokenizer(language: str) -> Any:
    import spacy

    return spacy.blank(language).tokenizer


def assert_is_spacys_own(tokenizer: SpacyTokenizer, texts: list[str]) -> None:
    own = spacy_tokenizer(tokenizer.language)
    for text in texts:
        assert tokens(tokenizer, text) == [token.text.lower() for token in own(text) if not token.is_space], text


def test_spacy_chunks_are_spacys_own(english: SpacyTokenizer) -> None:
    hard = [text for text in replace_surrogates(HARD_TEXTS) if max(map(len, text.split()), default=0) <= LONGEST_RULE_CHUNK]
    assert len(hard) > len(HARD_TEXTS) - 4
    news = [
        "Mr. O'Neill didn't pay $3.5m (approx. £2.1m) to U.K.-based Foo & Co. at 9a.m.; see https://x.org/a?b=c#d, :-) ...",
        "Well…I'd've thought so!  'Twas 10km/h -- e.g. “quoted”, 'single'\n\nnew\tline, a.b@c.co.uk and/or C++ vs. C#.",
        "It 's a film that 'll do n't you know , he said .",
    ]
    assert_is_spacys_own(english, hard + news)


@given(any_text.filter(lambda text: len(text) <= LONGEST_RULE_CHUNK))
def test_spacy_chunks_are_spacys_own_on_any_text(english: SpacyTokenizer, text: str) -> None:
    assert_is_spacys_own(english, [text])


@pytest.mark.parametrize("language", ["de", "xx"])
def test_other_rule_based_languages(language: str) -> None:
    texts = ["Prof. Müller kam z.B. um 10 Uhr, d. h. zu spät!", "L'été d'aujourd'hui, c.-à-d. p. ex. 3 000 €."]
    assert_is_spacys_own(SpacyTokenizer(language), texts)


@pytest.mark.skipif(not os.environ.get("TEXTCLS_DATA"), reason="TEXTCLS_DATA names no folder of real data")
@pytest.mark.parametrize("name", ["ag_news_20k-train", "bbc-all", "sms_spam-all", "goemotions-test", "sst2-test", "mr-all"])
def test_spacy_chunks_are_spacys_own_on_real_texts(english: SpacyTokenizer, name: str) -> None:
    from pyarrow import parquet

    table = parquet.read_table(Path(os.environ["TEXTCLS_DATA"]) / f"{name}.parquet")
    texts = table["text"].to_pylist()[: 60 if name == "bbc-all" else 400]
    assert_is_spacys_own(english, [text for text in texts if max(map(len, text.split())) <= LONGEST_RULE_CHUNK])


def test_spacy_keeps_case_where_it_is_wanted() -> None:
    assert tokens(SpacyTokenizer("en", lowercase=False), "He Didn't  go") == ["He", "Did", "n't", "go"]


def test_spacy_hands_long_chunks_to_unicode_and_counts_them(english: SpacyTokenizer) -> None:
    before = english.long_chunks
    assert tokens(english, "Short " + "x." * 101) == ["short", *["x", "."] * 101]
    assert tokens(english, "a" * LONGEST_RULE_CHUNK) == ["a" * LONGEST_RULE_CHUNK]
    assert english.long_chunks == before + 1


def test_a_language_with_its_own_tokenizer_gets_the_whole_text() -> None:
    chinese = SpacyTokenizer("zh")
    assert chinese.chunks("你好 吗 a") == ["你好 吗 a"]
    assert tokens(chinese, "你好 \n吗 a") == ["你", "好", "吗", "a"]
    long = "好" * (LONGEST_RULE_CHUNK + 1)
    assert tokens(chinese, long) == list(long)
    assert chinese.long_chunks == 0


@pytest.mark.parametrize("language", ["english", "", "../x", "EN"])
def test_an_unknown_language_is_named_in_one_line(language: str) -> None:
    with pytest.raises(ConfigError) as raised:
        SpacyTokenizer(language).chunks("text")
    assert "text.language" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_language_that_needs_a_package_says_which() -> None:
    if importlib.util.find_spec("sudachipy"):
        pytest.skip("SudachiPy is installed")
    with pytest.raises(MissingPackageError, match=r"ja.*sudachipy") as raised:
        SpacyTokenizer("ja").tokens("日本語")
    assert "\n" not in str(raised.value)


def test_no_spacy_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(MissingPackageError, match="pip install spacy"):
        SpacyTokenizer("en").chunks("text")


@pytest.mark.parametrize("text", list(LONG.values()), ids=list(LONG))
@pytest.mark.parametrize("name", ["unicode", "basic_english", "spacy"])
def test_a_megabyte_without_a_blank_takes_under_a_second(name: Any, text: str, english: SpacyTokenizer) -> None:
    tokenizer = english if name == "spacy" else build_tokenizer(TextSettings(tokenizer=name))
    start = time.process_time()
    found = tokens(tokenizer, text)
    assert time.process_time() - start < 1
    assert "".join(found) == text


def test_settings_choose_the_tokenizer() -> None:
    text = "Don't İ"
    assert tokens(build_tokenizer(TextSettings()), text) == ["don", "'", "t", "i"]
    assert tokens(build_tokenizer(TextSettings(lowercase=False)), text) == ["Don", "'", "t", "İ"]
    assert tokens(build_tokenizer(TextSettings(tokenizer="basic_english")), text) == ["don", "'", "t", "i̇"]
    spacy = build_tokenizer(TextSettings(tokenizer="spacy", language="de", lowercase=False))
    assert isinstance(spacy, SpacyTokenizer)
    assert (spacy.language, spacy.lowercase) == ("de", False)
