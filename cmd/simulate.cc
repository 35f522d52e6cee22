// tessera simulate: a trace of requests on the real scheduler, with simulated workers and time.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cmd/simulation_report.h"
#include "cmd/subcommand.h"
#include "scheduler/simulation/report.h"
#include "scheduler/simulation/simulation.h"
#include "scheduler/simulation/trace_file.h"
#include "scheduler/simulation/trace_generator.h"

namespace tessera {
namespace {

// What the command line says. Negative numbers and empty texts: not given, so the preset's.
struct SimulateOptions {
  std::string trace_file;
  std::string save_trace;
  TraceRecipe recipe;
  std::string prompt = "lognormal:800:1";
  std::string output = "lognormal:300:0.8";
  int32_t context = -1;

  int32_t groups = 1;
  int32_t ranks = 1;
  std::string choose = "least-load";
  std::string preset = "h800";
  int32_t blocks = -1, block_tokens = -1, step_tokens = -1, sequences = -1;
  double step_us = -1, prefill_token_us = -1, decode_token_us = -1, draft_pass_us = -1, cache_token_ns = -1;
  int32_t draft_tokens = 0;
  double draft_acceptance = 0.8;
  EngineConfig engine;
  bool json_output = false;
};

void AddTraceFlags(CLI::App& app, SimulateOptions& options) {
  app.add_option("--trace", options.trace_file,
                 "Trace file, .csv or .jsonl: arrival_s, prompt_tokens, output_tokens; also max_tokens, prefix, "
                 "prefix_tokens, client, priority, cancel_after_s")
      ->group("Trace from a file");
  const std::string generated = "Trace made up (without --trace)";
  TraceRecipe& recipe = options.recipe;
  app.add_option("--requests", recipe.num_requests, "How many requests")->capture_default_str()->group(generated);
  app.add_option("--rate", recipe.requests_per_second, "Poisson arrivals a second; 0: all at once")
      ->capture_default_str()
      ->group(generated);
  app.add_option("--prompt", options.prompt,
                 "Prompt lengths: N, uniform:MIN:MAX, exponential:MEAN or lognormal:MEDIAN:SIGMA")
      ->capture_default_str()
      ->group(generated);
  app.add_option("--output", options.output, "Answer lengths, likewise")->capture_default_str()->group(generated);
  app.add_option("--prefix-share", recipe.prefix_share, "Share of requests that begin with a common prefix")
      ->capture_default_str()
      ->group(generated);
  app.add_option("--prefixes", recipe.num_prefixes, "Different prefixes")->capture_default_str()->group(generated);
  app.add_option("--prefix-tokens", recipe.prefix_tokens, "Tokens of each prefix, before the prompt's own")
      ->capture_default_str()
      ->group(generated);
  app.add_option("--clients", recipe.client_weights, "Clients by their shares of the requests, e.g. 9,1")
      ->delimiter(',')
      ->group(generated);
  app.add_option("--cancel-share", recipe.cancel_share, "Share of requests whose client goes away within 10 s")
      ->capture_default_str()
      ->group(generated);
  app.add_option("--seed", recipe.seed, "Same seed, same trace")->capture_default_str()->group(generated);
  app.add_option("--save-trace", options.save_trace, "Write the trace to this .csv file too")->group(generated);
}

void AddGroupFlags(CLI::App& app, SimulateOptions& options) {
  const std::string groups = "Groups";
  app.add_option("--groups", options.groups, "Worker groups, a scheduler each")->capture_default_str()->group(groups);
  app.add_option("--ranks", options.ranks, "Ranks of a group, each with its own cache; a step waits for the slowest")
      ->capture_default_str()
      ->group(groups);
  app.add_option("--choose", options.choose, "Group of a request: round-robin, least-load or prefix")
      ->capture_default_str()
      ->group(groups);
  std::vector<std::string> presets;
  for (const CostPreset& preset : CostPresets()) {
    presets.push_back(absl::StrFormat("%s (%s)", preset.name, preset.description));
  }
  app.add_option("--preset", options.preset,
                 "What a rank is; the flags below replace parts of it. " + absl::StrJoin(presets, "; "))
      ->capture_default_str()
      ->group(groups);
  app.add_option("--context", options.context, "Tokens of one sequence")->group(groups);
  app.add_option("--blocks", options.blocks, "Cache blocks of a rank")->group(groups);
  app.add_option("--block-tokens", options.block_tokens, "Tokens of a block")->group(groups);
  app.add_option("--step-tokens", options.step_tokens, "Tokens a rank runs in one step")->group(groups);
  app.add_option("--sequences", options.sequences, "Sequences that run on a rank")->group(groups);
  app.add_option("--chunk", options.engine.prefill_chunk_tokens_max,
                 "Prompt tokens of one sequence in one step; 0: as many as a step has")
      ->capture_default_str()
      ->group(groups);
  app.add_option("--queue", options.engine.queue_requests_max, "Requests that may wait in a group; more are refused")
      ->capture_default_str()
      ->group(groups);
  app.add_option("--draft-tokens", options.draft_tokens, "Tokens that MTP guesses for a sequence, 0 to 4")
      ->capture_default_str()
      ->group(groups);
  app.add_option("--draft-acceptance", options.draft_acceptance, "Chance that a guess is right")
      ->capture_default_str()
      ->group(groups);
}

void AddCostFlags(CLI::App& app, SimulateOptions& options) {
  const std::string cost = "Time of a step on a rank: the sum of";
  app.add_option("--step-us", options.step_us, "Microseconds of every step")->group(cost);
  app.add_option("--prefill-token-us", options.prefill_token_us, "... of each prompt token")->group(cost);
  app.add_option("--decode-token-us", options.decode_token_us, "... of each decoding sequence and verified guess")
      ->group(cost);
  app.add_option("--draft-pass-us", options.draft_pass_us, "... of each pass of the MTP module")->group(cost);
  app.add_option("--cache-token-ns", options.cache_token_ns, "Nanoseconds of each cached token that is read")
      ->group(cost);
}

template <typename T>
void Replace(T& value, T given) {
  if (given >= 0) value = given;
}

void ReplaceDuration(absl::Duration& value, double given, absl::Duration unit) {
  if (given >= 0) value = given * unit;
}

absl::StatusOr<SimulationConfig> MakeConfig(const SimulateOptions& options) {
  const CostPreset* preset = FindCostPreset(options.preset);
  if (preset == nullptr) {
    return absl::InvalidArgumentError(absl::StrFormat("--preset: there is no '%s'", options.preset));
  }
  const std::optional<GroupPolicy> policy = ParseGroupPolicy(options.choose);
  if (!policy.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--choose: got '%s', wanted round-robin, least-load or prefix", options.choose));
  }
  SimulationConfig config{.num_groups = options.groups, .engine = options.engine, .policy = *policy};
  config.worker = {preset->limits, preset->cost, options.draft_acceptance};
  WorkerLimits& limits = config.worker.limits;
  limits.num_ranks = options.ranks;
  limits.draft_tokens_max = options.draft_tokens;
  Replace(limits.context_tokens_max, options.context);
  Replace(limits.num_blocks, options.blocks);
  Replace(limits.block_tokens, options.block_tokens);
  Replace(limits.step_tokens_max, options.step_tokens);
  Replace(limits.sequences_max, options.sequences);
  StepCost& cost = config.worker.cost;
  ReplaceDuration(cost.step, options.step_us, absl::Microseconds(1));
  ReplaceDuration(cost.prefill_token, options.prefill_token_us, absl::Microseconds(1));
  ReplaceDuration(cost.decode_token, options.decode_token_us, absl::Microseconds(1));
  ReplaceDuration(cost.draft_pass, options.draft_pass_us, absl::Microseconds(1));
  ReplaceDuration(cost.cache_token, options.cache_token_ns, absl::Nanoseconds(1));
  TESSERA_RETURN_IF_ERROR(Validate(config));
  return config;
}

absl::StatusOr<Trace> MakeTrace(const SimulateOptions& options, const WorkerLimits& limits) {
  if (!options.trace_file.empty()) return ReadTraceFile(options.trace_file);
  TraceRecipe recipe = options.recipe;
  TESSERA_ASSIGN_OR_RETURN(recipe.prompt, ParseLengthDistribution(options.prompt));
  TESSERA_ASSIGN_OR_RETURN(recipe.output, ParseLengthDistribution(options.output));
  recipe.context_tokens_max = limits.context_tokens_max;
  TESSERA_RETURN_IF_ERROR(Validate(recipe));
  Trace trace = GenerateTrace(recipe);
  if (options.save_trace.empty()) return trace;
  std::ofstream file(options.save_trace);
  WriteTrace(trace, file);
  if (!file.flush()) return absl::UnavailableError(absl::StrFormat("%s: cannot be written", options.save_trace));
  return trace;
}

absl::Status Run(const SimulateOptions& options) {
  TESSERA_ASSIGN_OR_RETURN(const SimulationConfig config, MakeConfig(options));
  TESSERA_ASSIGN_OR_RETURN(const Trace trace, MakeTrace(options, config.worker.limits));
  const Report report = MakeReport(trace, Simulate(config, trace));
  if (options.json_output) {
    PrintJson(report, std::cout);
  } else {
    PrintTable(report, std::cout);
  }
  return absl::OkStatus();
}

}  // namespace

void AddSimulate(CLI::App& app, Runner* run) {
  auto options = std::make_shared<SimulateOptions>();
  CLI::App* simulate = app.add_subcommand(
      "simulate", "Run a trace of requests on simulated groups: the real scheduler, workers that only take time");
  AddTraceFlags(*simulate, *options);
  AddGroupFlags(*simulate, *options);
  AddCostFlags(*simulate, *options);
  simulate->add_flag("--json", options->json_output, "Print JSON");
  simulate->footer(
      "Four groups, half of the prompts behind one of ten system prompts, routed to where they are cached:\n"
      "  tessera simulate --groups 4 --rate 20 --prefix-share 0.5 --prefixes 10 --prefix-tokens 2000 --choose prefix\n"
      "Everything is described in docs/simulator.md.");
  simulate->callback([options, run] {
    *run = [options] {
      const absl::Status status = Run(*options);
      if (status.ok()) return 0;
      std::cerr << "tessera simulate: " << status.message() << std::endl;
      return 1;
    };
  });
}

}  // namespace tessera
