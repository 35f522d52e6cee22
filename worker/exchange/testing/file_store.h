#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include "worker/exchange/rendezvous_store.h"

namespace tessera {

// For tests: a store that threads and processes of one host share, one file a key in a folder that exists.
class FileStore final : public RendezvousStore {
 public:
  explicit FileStore(std::filesystem::path folder) : folder_(std::move(folder)) {}
  absl::Status Set(const std::string& key, const std::string& value) override;
  absl::StatusOr<std::string> Get(const std::string& key, absl::Duration timeout) override;

 private:
  std::filesystem::path FileOf(const std::string& key) const;

  const std::filesystem::path folder_;
};

}  // namespace tessera
