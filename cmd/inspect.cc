// tessera inspect: what a checkpoint is and what it needs.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "base/status_macros.h"
#include "cmd/engine.h"
#include "cmd/subcommand.h"
#include "worker/checkpoint/inspect_checkpoint.h"

namespace tessera {
namespace {

struct InspectOptions {
  std::string path;
  std::string memory;
  std::vector<int32_t> ranks;
  double usable = 0.9;
  bool json = false;
};

absl::Status Inspect(const InspectOptions& options) {
  FitRequest request{.usable = options.usable, .ranks = options.ranks};
  if (!options.memory.empty()) {
    TESSERA_ASSIGN_OR_RETURN(request.memory_bytes, ParseBytes(options.memory));
  }
  TESSERA_ASSIGN_OR_RETURN(const CheckpointInspection inspection, InspectCheckpoint(options.path, request));
  std::cout << (options.json ? ToJson(inspection) : ToText(inspection));
  return absl::OkStatus();
}

}  // namespace

void AddInspect(CLI::App& app, Runner* run) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* inspect = app.add_subcommand(
      "inspect", "Say what a checkpoint is: parameters, bytes by part, cache per token, and how many ranks it needs");
  inspect->add_option("MODEL", options->path, "Checkpoint folder, or a config.json alone")->required();
  inspect->add_option("--memory", options->memory, "Memory of one rank, e.g. 80GiB: shows what is left for the cache");
  inspect->add_option("--ranks", options->ranks, "Numbers of expert-parallel ranks to show, e.g. 8,16,32")
      ->delimiter(',');
  inspect->add_option("--usable", options->usable, "Share of --memory for weights and cache (default: 0.9)")
      ->check(CLI::Range(0.01, 1.0));
  inspect->add_flag("--json", options->json, "Print JSON");
  inspect->callback([options, run] {
    *run = [options] {
      const absl::Status status = Inspect(*options);
      if (!status.ok()) std::cerr << "tessera inspect: " << status.message() << std::endl;
      return status.ok() ? 0 : 1;
    };
  });
}

}  // namespace tessera
