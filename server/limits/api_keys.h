#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tessera {

// The keys that clients may present. Without any, everybody may do everything. Immutable. The time that a check takes
// depends on the lengths alone, never on where a wrong key differs.
class ApiKeys {
 public:
  explicit ApiKeys(std::vector<std::string> keys) : keys_(std::move(keys)) {}

  // `authorization` is the value of the one Authorization header or metadata entry; empty: there was none or several.
  bool Admits(std::string_view authorization) const;

 private:
  std::vector<std::string> keys_;
};

}  // namespace tessera
