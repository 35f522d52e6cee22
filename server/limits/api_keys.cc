#include "server/limits/api_keys.h"

#include <cstddef>

namespace tessera {
namespace {

constexpr size_t kKeyBytesMax = 4096;

bool EqualsInConstantTime(std::string_view got, std::string_view key) {
  unsigned difference = got.size() == key.size() ? 0U : 1U;
  for (size_t i = 0; i < got.size(); ++i) {
    const char other = key.empty() ? '\0' : key[i % key.size()];
    difference |= static_cast<unsigned char>(got[i]) ^ static_cast<unsigned>(static_cast<unsigned char>(other));
  }
  return difference == 0;
}

// "Bearer " in any case (RFC 9110, 11.1); the rest is the key.
bool TakeBearer(std::string_view& value) {
  constexpr std::string_view kScheme = "bearer ";
  if (value.size() < kScheme.size()) return false;
  for (size_t i = 0; i < kScheme.size(); ++i) {
    const char c = value[i] >= 'A' && value[i] <= 'Z' ? static_cast<char>(value[i] - 'A' + 'a') : value[i];
    if (c != kScheme[i]) return false;
  }
  value.remove_prefix(kScheme.size());
  return true;
}

}  // namespace

bool ApiKeys::Admits(std::string_view authorization) const {
  if (keys_.empty()) return true;
  if (!TakeBearer(authorization) || authorization.empty() || authorization.size() > kKeyBytesMax) return false;
  bool admits = false;
  for (const std::string& key : keys_) admits |= EqualsInConstantTime(authorization, key);
  return admits;
}

}  // namespace tessera
