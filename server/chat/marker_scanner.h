#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/ids.h"
#include "server/tokenizer/tokenizer.h"

namespace tessera {

// The control strings that structure a model's output.
enum class Marker {
  kThinkBegin,
  kThinkEnd,
  kCallsBegin,
  kCallsEnd,
  kCallBegin,
  kCallEnd,
  kSeparator,
};
inline constexpr int kNumMarkers = 7;

std::string_view MarkerText(Marker marker);  // "<think>", …

// How each marker is recognized: by its token id where the vocabulary has it as one token (text that merely spells it,
// in other tokens, is text), by its text where it has not.
struct OutputMarkers {
  std::array<std::optional<TokenId>, kNumMarkers> ids;

  static OutputMarkers Of(const Tokenizer& tokenizer);
};

// A stretch of output: either one marker, or text with none in it. A marker keeps its spelling in `text`.
struct OutputUnit {
  std::optional<Marker> marker;
  std::string text;
};

// Cuts output into markers and text. Holds back text that may yet become a marker.
class MarkerScanner {
 public:
  // Looks for the `wanted` markers; the others are text.
  MarkerScanner(const OutputMarkers& markers, std::span<const Marker> wanted);

  void Push(TokenId id, std::string_view text, std::vector<OutputUnit>& units);
  void PushText(std::string_view text, std::vector<OutputUnit>& units);
  void Flush(std::vector<OutputUnit>& units);

 private:
  // Length of the end of held_ that may be the beginning of a marker.
  size_t PossibleMarkerBytes() const;

  absl::flat_hash_map<TokenId, Marker> by_id_;
  std::vector<Marker> by_text_;  // those without an id
  std::string held_;
};

}  // namespace tessera
