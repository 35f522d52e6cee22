#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace tessera {

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
};

// A map keyed by string that is searched with a std::string_view, no copy made: map.find(view).
template <typename Value>
using StringMap = std::unordered_map<std::string, Value, StringHash, std::equal_to<>>;

}  // namespace tessera
