#!/usr/bin/env python3
"""Writes server/tokenizer/unicode_additions.h: characters newer than Unicode 14, by general category.

PCRE2 10.42 knows Unicode 14, the regex engine of the reference library (HF tokenizers) a newer version. The list is
asked from that library itself, so it needs `tokenizers`, and a Python whose unicodedata is version 14.
"""

import pathlib
import unicodedata

import tokenizers
from tokenizers import Regex, pre_tokenizers

OUTPUT = pathlib.Path(__file__).parent.parent / "server/tokenizer/unicode_additions.h"
HEADER = """#pragma once

// Made by tools/make_unicode_additions.py from tokenizers {version}. Do not edit.

#include <cstdint>

namespace tessera {{

// A range of characters that Unicode 15 to 16 added to a general category. PCRE2 10.42 knows version 14; a newer one
// knows some of them already, which does no harm.
struct UnicodeAddition {{
  char category;  // L, M, N, P or S
  char32_t first;
  char32_t last;
}};

// clang-format off
inline constexpr UnicodeAddition kUnicodeAdditions[] = {{
{rows}
}};
// clang-format on

}}  // namespace tessera
"""


def members(category: str) -> list[int]:
    text = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF)
    remover = pre_tokenizers.Split(Regex(r"\p{%s}" % category), "removed")
    kept = set("".join(piece for piece, _ in remover.pre_tokenize_str(text)))
    return [ord(c) for c in text if c not in kept]


def main() -> None:
    assert unicodedata.unidata_version.startswith("14."), unicodedata.unidata_version
    ranges = []
    for category in "LMNPS":
        for code in members(category):
            if unicodedata.category(chr(code))[0] == category:
                continue
            if ranges and ranges[-1][0] == category and ranges[-1][2] == code - 1:
                ranges[-1][2] = code
            else:
                ranges.append([category, code, code])
    cells = [f"{{'{c}', 0x{a:X}, 0x{b:X}}}," for c, a, b in ranges]
    rows = "\n".join("    " + " ".join(cells[i : i + 4]) for i in range(0, len(cells), 4))
    OUTPUT.write_text(HEADER.format(version=tokenizers.__version__, rows=rows))


if __name__ == "__main__":
    main()
