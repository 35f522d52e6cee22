#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>

namespace tessera {

// A number that names one kind of thing and cannot be mixed up with another kind.
template <typename Tag, typename Rep>
struct Id {
  Rep value = -1;  // -1: names nothing

  friend constexpr auto operator<=>(const Id&, const Id&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Id& id) {
    return H::combine(std::move(h), id.value);
  }
};

using TokenId = int32_t;                           // an id of the model's vocabulary
using RequestId = Id<struct RequestTag, int64_t>;  // one generation asked of a worker group, unique per server process
using SequenceId =
    Id<struct SequenceTag, int64_t>;  // one run of a request on a worker rank; a resumed request gets a new one
using BlockId = int32_t;              // index of a cache block in one rank's pool

}  // namespace tessera

template <typename Tag, typename Rep>
struct std::hash<tessera::Id<Tag, Rep>> {
  size_t operator()(const tessera::Id<Tag, Rep>& id) const noexcept { return std::hash<Rep>()(id.value); }
};
