#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "worker/checkpoint/model_config.h"
#include "worker/checkpoint/tensor_files.h"

namespace tessera {

// Everything that the headers of a checkpoint folder say, and everything that is wrong with them.
struct CheckpointHeaders {
  std::optional<ModelConfig> config;  // absent if config.json is faulty; the files are then read all the same
  TensorFiles files;
  std::vector<std::string> problems;  // empty: the checkpoint can be served
  std::vector<std::string> warnings;  // ignored tensors and files, fields read differently from how they are written
};
CheckpointHeaders ReadCheckpointHeaders(const std::string& folder);

// The pre-flight of `tessera check`: no weight is read. A line of `problems` names file, tensor or field, what was
// found and what was wanted.
struct CheckReport {
  std::string folder;
  std::optional<ModelConfig> config;
  std::vector<std::string> problems;
  std::vector<std::string> warnings;
  int64_t num_files = 0;
  int64_t num_tensors = 0;
  int64_t num_bytes = 0;

  bool ok() const { return problems.empty(); }
};
CheckReport CheckCheckpoint(const std::string& folder);

// For people: a line per finding, then a verdict.
std::string ToText(const CheckReport& report);

}  // namespace tessera
