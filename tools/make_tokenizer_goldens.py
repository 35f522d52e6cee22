#!/usr/bin/env python3
"""Strings that a tokenizer gets wrong first, and the ids that the reference library (HF tokenizers) gives for them.

corpus() is deterministic: the same 12,000 strings on every machine. The parity test compares all of them, for every
vocabulary at hand, against the installed library; the golden file written here holds a sample for the C++ unit test.

  tools/make_tokenizer_goldens.py            writes demo.jsonl and v2.jsonl (the same with V2's pre-tokenizer) of
                                             tests/golden/tokenizer
  tools/make_tokenizer_goldens.py --corpus   prints the corpus, one JSON string a line
"""

import json
import pathlib
import random
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDENS = ROOT / "tests/golden/tokenizer"
SEED = 20240607
SIZE = 12000

WORDS = """the quick brown fox jumps over lazy dog def return import class static const void int float 12 3456 78901 3.14
naïve café Zürich Straße ÆØÅ façade Ελληνικά γλώσσα Привет мир Українська שלום עולם مرحبا بالعالم नमस्ते दुनिया สวัสดี ภาษาไทย
你好 世界 中文字符 日本語 ひらがな カタカナ ﾊﾝｶｸ 한국어 삼겹살 안녕하세요 繁體字 ไทย မြန်မာ ქართული հայերեն አማርኛ ᏣᎳᎩ தமிழ் తెలుగు I'm don't
we'll THEY'RE O'Neil snake_case camelCase kebab-case https://example.org/a?b=c&d=e user@example.com C:\\temp\\x 0xDEADBEEF
#include <stdio.h> </div> {"key": [1, 2.5e-3, null]} printf("%d\\n", x); a=b+c*d/e; // comment /* x */ $HOME ~/.bashrc @decorator
½ Ⅷ ² ٣ ५ 〇 ㊀ 𝟘𝟙 ①② x² H₂O 10⁶ ™ © ® € £ ¥ ₿ → ⇒ ∀ ∃ ∑ √ ∞ ≠ ≤ 。 ， 、 「」 ！ ？ … — – ‘ ’ “ ”""".split()
EMOJI = ["😀", "👩‍💻", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "👍🏽", "❤️", "☃", "🫠", "𝔘𝔫𝔦", "🀄", "☕️", "1️⃣"]
MARKS = ["\u0301", "\u0308", "\u0327", "\u20dd", "\u0489", "\u3099", "\u0e33", "\u093f", "\u200d", "\ufe0f", "\U000e0101"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n", "\n ", "\u00a0", "\u3000", "\u2003", "\u2028", "\x85", "\x0b",
          "\x0c", "\u1680", "\u180e", "\u200b", "\ufeff", " " * 17, "\t\t\t", "\r", " \r\n \n  "]
CONTROLS = ["\x00", "\x01", "\x1b[0m", "\x7f", "\x80", "\ufffd", "\ufffe", "\uffff", "\U0010ffff", "\ue000", "\u00ad"]
SPECIALS = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<think>", "</think>", "<｜User｜>", "<｜Assistant｜>",
            "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "<|EOT|>", "<｜fim▁hole｜>",
            "<｜place▁holder▁no▁1｜>", "<｜place▁holder▁no▁12｜>", "<｜User", "｜>", "<thin", "<think", "< think>", "<<think>>", "<｜",
            "<|User|>", "<｜tool▁outputs▁begin｜>", "<｜tool▁output▁end｜>"]
PUNCTUATION = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["...", "!!!", "->", "::", "'s", "```", "**", "\"\"\""]
BROKEN_BYTES = [b"\x80", b"\xff", b"\xc3", b"\xe4\xbd", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x28\xa1"]
SCRIPT_RANGES = [(0x20, 0x7E), (0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x52F), (0x590, 0x6FF), (0x900, 0x97F),
                 (0xE00, 0xE7F), (0x1100, 0x11FF), (0x2000, 0x206F), (0x2100, 0x214F), (0x3000, 0x30FF), (0x4E00, 0x9FFF),
                 (0xAC00, 0xD7A3), (0xFF00, 0xFFEF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF), (0x1D400, 0x1D7FF)]


def any_character(rng: random.Random) -> str:
    while True:
        code = rng.randrange(0x110000)
        if not 0xD800 <= code <= 0xDFFF:
            return chr(code)


def broken_text(rng: random.Random) -> str:
    """Bytes that are not UTF-8, as text: each maximal invalid part is U+FFFD, which is what a decoder makes of them."""
    parts = [rng.choice(BROKEN_BYTES) if rng.random() < 0.5 else rng.choice(WORDS).encode() for _ in range(rng.randint(1, 8))]
    return b"".join(parts).decode("utf-8", "replace")


def mixed(rng: random.Random) -> str:
    kinds = [(WORDS, 8), (SPACES, 6), (PUNCTUATION, 3), (EMOJI, 1), (MARKS, 1), (CONTROLS, 0.4), (SPECIALS, 0.8)]
    pools = rng.choices([k for k, _ in kinds], [w for _, w in kinds], k=rng.randint(1, 14))
    return "".join(rng.choice(pool) for pool in pools)


def script_run(rng: random.Random) -> str:
    out = []
    for _ in range(rng.randint(1, 6)):
        low, high = rng.choice(SCRIPT_RANGES)
        out.extend(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 10)))
        out.append(rng.choice(["", " ", rng.choice(SPACES)]))
    return "".join(out)


def code_like(rng: random.Random) -> str:
    lines = []
    for _ in range(rng.randint(1, 5)):
        indent = rng.choice([" " * (4 * rng.randint(0, 4)), "\t" * rng.randint(0, 3)])
        lines.append(indent + rng.choice([" ", "", "  "]).join(rng.choice(WORDS + PUNCTUATION) for _ in range(rng.randint(1, 8))))
    return rng.choice(["\n", "\r\n", "\n\n"]).join(lines) + rng.choice(["", "\n", "  ", "\n\n  "])


def digits(rng: random.Random) -> str:
    return "".join(rng.choice(["0", "7", "42", "1000000", "٣٤", "½", "Ⅷ", " ", ".", ",", "x", "１２３"]) for _ in range(rng.randint(1, 12)))


def corpus() -> list[str]:
    rng = random.Random(SEED)
    strings = ["", " ", "\n", "a", "a" * 1000, " " * 1000, "1" * 1000, "\n" * 300, "ab" * 500, "é" * 300, "😀" * 100, "!" * 500]
    strings += WORDS + EMOJI + SPACES + CONTROLS + SPECIALS + PUNCTUATION
    strings += ["Hello world", "Hello, world! 12345", "你好，世界", "I don't know.\n\nOK  x", "3.14159 1000000", "  leading", "a\u0301b",
                "<｜User｜>hi<｜Assistant｜><think>\n", "User: hi\n\nAssistant:"]
    makers = [mixed, mixed, mixed, script_run, script_run, code_like, digits, broken_text,
              lambda r: "".join(any_character(r) + r.choice(["", " ", "a"]) for _ in range(r.randint(1, 12)))]
    while len(strings) < SIZE:
        strings.append(makers[len(strings) % len(makers)](rng))
    return strings


def with_v2_pre_tokenizer(vocabulary: dict) -> dict:
    """The vocabulary, cut into pieces as the V2 generation does it."""
    pre_tokenizer = json.loads((GOLDENS / "v2_pre_tokenizer.json").read_text())
    return {**vocabulary, "pre_tokenizer": pre_tokenizer}


def write_goldens(name: str, vocabulary: dict, strings: list[str]) -> None:
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(vocabulary))
    with (GOLDENS / name).open("w") as file:
        for text in strings:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            if len(ids) <= 400:
                file.write(json.dumps([text, ids], separators=(",", ":"), ensure_ascii=False) + "\n")


def main() -> None:
    strings = corpus()
    if "--corpus" in sys.argv[1:]:
        for text in strings:
            print(json.dumps(text))
        return
    demo = json.loads((ROOT / "models/demo/tokenizer.json").read_text())
    write_goldens("demo.jsonl", demo, strings[:240] + strings[240::16])
    write_goldens("v2.jsonl", with_v2_pre_tokenizer(demo), strings[:240] + strings[250::32])


if __name__ == "__main__":
    main()
