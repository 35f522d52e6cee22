#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/checkpoint/memory_fit.h"
#include "worker/checkpoint/model_config.h"
#include "worker/checkpoint/model_sizes.h"

namespace tessera {

// What a checkpoint is and what it needs, for `tessera inspect`.
struct CheckpointInspection {
  std::string path;
  ModelConfig config;
  ModelSizes sizes;
  bool is_measured = false;  // sizes are those of the files; else estimated from config.json
  std::vector<std::string> warnings;
  std::vector<FitRow> fit;
  FitRequest fit_request;
};

// `path` is a checkpoint folder or a config.json alone. A folder whose files are missing or faulty is estimated from
// its config.json, with a warning; a faulty config.json is an error.
absl::StatusOr<CheckpointInspection> InspectCheckpoint(const std::string& path, const FitRequest& request);

std::string ToText(const CheckpointInspection& inspection);
std::string ToJson(const CheckpointInspection& inspection);

}  // namespace tessera
