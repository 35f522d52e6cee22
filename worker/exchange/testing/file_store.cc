#include "worker/exchange/testing/file_store.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace tessera {

std::filesystem::path FileStore::FileOf(const std::string& key) const {
  std::string name = key;
  std::replace(name.begin(), name.end(), '/', '_');
  return folder_ / name;
}

absl::Status FileStore::Set(const std::string& key, const std::string& value) {
  const std::filesystem::path file = FileOf(key);
  std::filesystem::path unfinished = file;
  unfinished += ".unfinished";
  std::ofstream(unfinished, std::ios::binary) << value;
  std::filesystem::rename(unfinished, file);  // readers see all of it or nothing
  return absl::OkStatus();
}

absl::StatusOr<std::string> FileStore::Get(const std::string& key, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  do {
    std::ifstream file(FileOf(key), std::ios::binary);
    if (file) return std::string(std::istreambuf_iterator<char>(file), {});
    absl::SleepFor(absl::Milliseconds(1));
  } while (absl::Now() < deadline);
  return absl::DeadlineExceededError(absl::StrFormat("nobody has set '%s'", key));
}

}  // namespace tessera
