#include "worker/checkpoint/check_checkpoint.h"

#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/checkpoint/match_tensors.h"
#include "worker/checkpoint/parse_model_config.h"
#include "worker/checkpoint/problem_list.h"

namespace tessera {

CheckpointHeaders ReadCheckpointHeaders(const std::string& folder) {
  CheckpointHeaders headers;
  ProblemList problems;
  ProblemList warnings;
  struct stat info = {};
  if (stat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    headers.problems.push_back(absl::StrFormat("%s: is not a folder, wanted a checkpoint folder", folder));
    return headers;
  }
  ParsedConfig parsed = ReadModelConfigFolder(folder);
  for (std::string& line : parsed.problems) problems.Add(std::move(line));
  for (std::string& line : parsed.notes) warnings.Add(std::move(line));
  headers.files = OpenTensorFiles(folder, problems, warnings);
  if (parsed.config) MatchTensors(*parsed.config, headers.files, problems, warnings);
  headers.config = std::move(parsed.config);
  headers.problems = problems.Lines();
  headers.warnings = warnings.Lines();
  return headers;
}

CheckReport CheckCheckpoint(const std::string& folder) {
  CheckpointHeaders headers = ReadCheckpointHeaders(folder);
  CheckReport report;
  report.folder = folder;
  report.config = std::move(headers.config);
  report.problems = std::move(headers.problems);
  report.warnings = std::move(headers.warnings);
  report.num_files = static_cast<int64_t>(headers.files.files.size());
  report.num_tensors = static_cast<int64_t>(headers.files.tensors.size());
  for (const auto& [name, place] : headers.files.tensors) report.num_bytes += place.bytes;
  return report;
}

std::string ToText(const CheckReport& report) {
  std::string text;
  for (const std::string& line : report.problems) absl::StrAppend(&text, "error: ", line, "\n");
  for (const std::string& line : report.warnings) absl::StrAppend(&text, "warning: ", line, "\n");
  absl::StrAppendFormat(&text, "%s: %d files, %d tensors, %.2f GiB: ", report.folder, report.num_files,
                        report.num_tensors, static_cast<double>(report.num_bytes) / (1 << 30));
  if (report.ok()) {
    absl::StrAppend(&text, "the checkpoint is complete\n");
  } else {
    absl::StrAppendFormat(&text, "cannot be served, %d errors\n", report.problems.size());
  }
  return text;
}

}  // namespace tessera
