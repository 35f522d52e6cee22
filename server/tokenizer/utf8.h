#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tessera {

// U+FFFD, which stands for each maximal part of a text that is not UTF-8.
inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

// Length of the longest prefix of `text` that is valid, complete UTF-8.
size_t ValidUtf8Prefix(std::string_view text);

// `text` with each maximal invalid subpart (Unicode standard, 3.9, U+FFFD substitution) replaced by one U+FFFD.
std::string RepairUtf8(std::string_view text);

// The same over a stream: bytes in, complete characters out.
class Utf8Assembler {
 public:
  // Appends to `out` all that is decided: complete characters, and U+FFFD for what is proven invalid.
  void Push(std::string_view bytes, std::string& out);

  // The stream has ended: an incomplete character becomes U+FFFD.
  void Flush(std::string& out);

  bool empty() const { return pending_.empty(); }

 private:
  std::string pending_;  // a proper prefix of one character; at most 3 bytes
};

}  // namespace tessera
