// Stops and a text in pieces, against the rule read off the whole text. Input: lines; the first byte says how many of
// them are stops, the others are the pieces.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_split.h"
#include "base/check.h"
#include "server/tokenizer/stop_matcher.h"

namespace {

size_t EarliestMatch(const std::vector<std::string>& stops, const std::string& text) {
  size_t earliest = std::string::npos;
  for (const std::string& stop : stops) earliest = std::min(earliest, text.find(stop));
  return earliest;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tessera;
  if (size == 0 || size > 4096) return 0;
  std::vector<std::string> lines =
      absl::StrSplit(absl::string_view(reinterpret_cast<const char*>(data) + 1, size - 1), '\n');
  const auto num_stops = static_cast<std::ptrdiff_t>(std::min<size_t>(data[0] % 8, lines.size()));
  const std::vector<std::string> stops(lines.begin(), lines.begin() + num_stops);
  const auto compiled = StopStrings::Create(stops);
  if (!compiled.ok()) return 0;
  StopMatcher matcher(*compiled);
  std::string text;
  std::string out;
  for (auto piece = lines.begin() + num_stops; piece != lines.end(); ++piece) {
    text += *piece;
    matcher.Push(*piece, out);
    TESSERA_CHECK(text.starts_with(out));
  }
  matcher.Flush(out);
  const size_t earliest = EarliestMatch(stops, text);
  TESSERA_CHECK(out == text.substr(0, earliest));
  TESSERA_CHECK(matcher.match().has_value() == (earliest != std::string::npos));
  if (matcher.match().has_value()) {
    const std::string& stop = stops[static_cast<size_t>(matcher.match()->stop_index)];
    TESSERA_CHECK(text.compare(earliest, stop.size(), stop) == 0);
    TESSERA_CHECK(matcher.match()->offset == static_cast<int64_t>(earliest));
  }
  return 0;
}
