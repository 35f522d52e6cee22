#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/checkpoint/model_config.h"

namespace tessera {

// What reading config.json and generation_config.json found.
struct ParsedConfig {
  std::optional<ModelConfig> config;  // absent exactly when there are problems
  std::vector<std::string> problems;  // one line each: file, field, got, wanted
  std::vector<std::string> notes;     // what was read differently from how it is written
};

// Reads the texts of the two files; all spellings of the field names that exporters use. Every size is bounded so that
// no later product of a few of them overflows. `generation_config_json` is absent when there is no such file.
ParsedConfig ParseModelConfig(std::string_view config_json, std::optional<std::string_view> generation_config_json);

// The same from a folder, or from the path of a config.json; all problems in one Status.
absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& folder_or_config_json);

// Both files of a folder, for those who want the list of problems.
ParsedConfig ReadModelConfigFolder(const std::string& folder);

}  // namespace tessera
