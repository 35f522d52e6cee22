#include "server/tokenizer/byte_map.h"

namespace tessera {
namespace {

bool IsItsOwnCharacter(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

}  // namespace

ByteMap::ByteMap() {
  byte_of_.fill(-1);
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const int code_point = IsItsOwnCharacter(byte) ? byte : next++;
    byte_of_[static_cast<size_t>(code_point)] = byte;
    std::string& character = characters_[static_cast<size_t>(byte)];
    if (code_point < 0x80) {
      character.push_back(static_cast<char>(code_point));
    } else {  // all below U+0800
      character.push_back(static_cast<char>(0xC0 | (code_point >> 6)));
      character.push_back(static_cast<char>(0x80 | (code_point & 0x3F)));
    }
  }
}

std::optional<std::string> ByteMap::Decode(std::string_view token) const {
  std::string bytes;
  bytes.reserve(token.size());
  for (size_t i = 0; i < token.size(); ++i) {
    int code_point = static_cast<uint8_t>(token[i]);
    if (code_point >= 0x80) {
      if (code_point < 0xC2 || code_point > 0xDF || i + 1 == token.size()) return std::nullopt;
      code_point = ((code_point & 0x1F) << 6) | (static_cast<uint8_t>(token[++i]) & 0x3F);
    }
    if (code_point >= kAlphabetEnd || byte_of_[static_cast<size_t>(code_point)] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte_of_[static_cast<size_t>(code_point)]));
  }
  return bytes;
}

}  // namespace tessera
