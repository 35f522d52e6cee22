#include "cmd/available_memory.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>

namespace tessera {
namespace {

// The first number of a file such as /sys/fs/cgroup/memory.max; absent when it is "max" or there is no such file.
std::optional<int64_t> ReadNumber(const char* path) {
  std::ifstream file(path);
  int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

}  // namespace

absl::StatusOr<int64_t> AvailableMemory() {
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  int64_t kibibytes = 0;
  std::string rest;
  int64_t available = -1;
  while (meminfo >> key >> kibibytes && std::getline(meminfo, rest)) {
    if (key == "MemAvailable:") available = kibibytes * 1024;
  }
  if (available < 0) return absl::NotFoundError("/proc/meminfo: has no MemAvailable");
  const std::optional<int64_t> limit = ReadNumber("/sys/fs/cgroup/memory.max");
  const std::optional<int64_t> used = ReadNumber("/sys/fs/cgroup/memory.current");
  if (limit.has_value() && used.has_value()) available = std::min(available, std::max<int64_t>(0, *limit - *used));
  return available;
}

}  // namespace tessera
