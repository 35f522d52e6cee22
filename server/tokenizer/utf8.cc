#include "server/tokenizer/utf8.h"

#include <cstdint>

namespace tessera {
namespace {

struct Character {
  size_t length = 0;  // bytes of the character; if not complete: of its maximal valid prefix, at least 1
  bool is_complete = false;
  bool is_cut = false;  // the text ended before the character did
};

// Reads the character at text[0]; the ranges of second bytes are those of the Unicode standard, table 3-7.
Character ReadCharacter(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {1, true, false};
  size_t length = 0;
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {1, false, false};
  }
  for (size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {i, false, true};
    if (byte(i) < low || byte(i) > high) return {i, false, false};
    low = 0x80;
    high = 0xBF;
  }
  return {length, true, false};
}

}  // namespace

size_t ValidUtf8Prefix(std::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    const Character character = ReadCharacter(text.substr(position));
    if (!character.is_complete) break;
    position += character.length;
  }
  return position;
}

std::string RepairUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  Utf8Assembler assembler;
  assembler.Push(text, out);
  assembler.Flush(out);
  return out;
}

void Utf8Assembler::Push(std::string_view bytes, std::string& out) {
  std::string joined;
  if (!pending_.empty()) {
    joined = pending_;
    joined.append(bytes);
    bytes = joined;
  }
  while (true) {
    const size_t valid = ValidUtf8Prefix(bytes);
    out.append(bytes.substr(0, valid));
    bytes.remove_prefix(valid);
    if (bytes.empty()) break;
    const Character broken = ReadCharacter(bytes);
    if (broken.is_cut) break;
    out.append(kReplacementCharacter);
    bytes.remove_prefix(broken.length);
  }
  pending_ = std::string(bytes);
}

void Utf8Assembler::Flush(std::string& out) {
  if (!pending_.empty()) out.append(kReplacementCharacter);
  pending_.clear();
}

}  // namespace tessera
