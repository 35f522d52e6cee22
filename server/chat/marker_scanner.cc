#include "server/chat/marker_scanner.h"

#include <algorithm>

namespace tessera {
namespace {

constexpr std::array<std::string_view, kNumMarkers> kMarkerTexts = {
    "<think>",
    "</think>",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁sep｜>",
};

void AddText(std::string_view text, std::vector<OutputUnit>& units) {
  if (!text.empty()) units.push_back({std::nullopt, std::string(text)});
}

}  // namespace

std::string_view MarkerText(Marker marker) { return kMarkerTexts[static_cast<size_t>(marker)]; }

OutputMarkers OutputMarkers::Of(const Tokenizer& tokenizer) {
  OutputMarkers markers;
  for (size_t i = 0; i < kNumMarkers; ++i) markers.ids[i] = tokenizer.FindAdded(kMarkerTexts[i]);
  return markers;
}

MarkerScanner::MarkerScanner(const OutputMarkers& markers, std::span<const Marker> wanted) {
  for (const Marker marker : wanted) {
    if (const std::optional<TokenId> id = markers.ids[static_cast<size_t>(marker)]) {
      by_id_.emplace(*id, marker);
    } else {
      by_text_.push_back(marker);
    }
  }
}

void MarkerScanner::Push(TokenId id, std::string_view text, std::vector<OutputUnit>& units) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return PushText(text, units);
  const std::string_view spelling = MarkerText(found->second);
  // Before the marker's own text there may be U+FFFD for a character that it has cut short.
  if (text.ends_with(spelling)) text.remove_suffix(spelling.size());
  PushText(text, units);
  Flush(units);
  units.push_back({found->second, std::string(spelling)});
}

void MarkerScanner::PushText(std::string_view text, std::vector<OutputUnit>& units) {
  if (by_text_.empty()) return AddText(text, units);
  held_.append(text);
  size_t done = 0;
  for (size_t at = held_.find('<'); at != std::string::npos; at = held_.find('<', at)) {
    const std::string_view rest = std::string_view(held_).substr(at);
    const auto marker = std::find_if(by_text_.begin(), by_text_.end(),
                                     [&](Marker candidate) { return rest.starts_with(MarkerText(candidate)); });
    if (marker == by_text_.end()) {
      ++at;
      continue;
    }
    AddText(std::string_view(held_).substr(done, at - done), units);
    units.push_back({*marker, std::string(MarkerText(*marker))});
    at += MarkerText(*marker).size();
    done = at;
  }
  held_.erase(0, done);
  const size_t safe = held_.size() - PossibleMarkerBytes();
  AddText(std::string_view(held_).substr(0, safe), units);
  held_.erase(0, safe);
}

void MarkerScanner::Flush(std::vector<OutputUnit>& units) {
  AddText(held_, units);
  held_.clear();
}

size_t MarkerScanner::PossibleMarkerBytes() const {
  const size_t start = held_.rfind('<');  // no marker has a second one
  if (start == std::string::npos) return 0;
  const std::string_view tail = std::string_view(held_).substr(start);
  const bool is_possible = std::any_of(by_text_.begin(), by_text_.end(),
                                       [&](Marker marker) { return MarkerText(marker).starts_with(tail); });
  return is_possible ? tail.size() : 0;
}

}  // namespace tessera
