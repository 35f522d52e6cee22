#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tessera {

// GPT-2's byte-level alphabet: each byte has a printable character, which stands for it in tokenizer.json. Bytes
// 0x21–0x7E, 0xA1–0xAC and 0xAE–0xFF are their own code point; the other 68 are U+0100, U+0101, … in ascending order.
class ByteMap {
 public:
  ByteMap();

  // The character of a byte, as UTF-8.
  const std::string& CharacterOf(uint8_t byte) const { return characters_[byte]; }

  // The bytes that a token of the file stands for; nullopt if it has a character outside of the alphabet.
  std::optional<std::string> Decode(std::string_view token) const;

 private:
  static constexpr int kAlphabetEnd = 0x100 + 68;

  std::array<std::string, 256> characters_;
  std::array<int, kAlphabetEnd> byte_of_;  // by code point; -1: not in the alphabet
};

}  // namespace tessera
