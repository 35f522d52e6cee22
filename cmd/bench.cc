// tessera bench: how fast a checkpoint runs on this machine, without server and scheduler, beside what the machine can
// do at best.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "cmd/bench_steps.h"
#include "cmd/engine.h"
#include "cmd/model_bench.h"
#include "cmd/process_memory.h"
#include "cmd/speculation_bench.h"
#include "cmd/subcommand.h"
#include "kernels/cpu/machine_peak.h"
#include "worker/checkpoint/model_sizes.h"

namespace tessera {
namespace {

using nlohmann::json;

struct BenchOptions {
  std::string folder;
  std::vector<int32_t> prefill = {512, 2048};
  std::vector<int32_t> batches = {1, 4, 16};
  std::vector<int32_t> contexts = {128};
  int32_t steps = 32;
  int32_t repetitions = 3;
  std::string prompts_path;
  size_t num_prompts = 20;
  bool json_output = false;
  EngineOptions engine;
};

struct Machine {
  std::string cpu;
  int threads = 0;
  double bandwidth = 0;  // bytes/s
  double bf16_peak = 0;  // flop/s
};

Machine MeasureMachine(int threads) {
  return {CpuModelName(), threads, cpu::MeasureReadBandwidth(threads), cpu::MeasureBf16Peak(threads)};
}

json ToJson(const Machine& machine) {
  return {{"cpu", machine.cpu},
          {"threads", machine.threads},
          {"read_bytes_per_second", machine.bandwidth},
          {"bf16_flop_per_second", machine.bf16_peak}};
}

// The floating-point operations of one prompt token's weights: two for each active parameter but the head's, which only
// the last token of a prompt needs.
double FlopPerPromptToken(const ModelSizes& sizes) {
  const int64_t head = sizes.main[static_cast<size_t>(ModelPart::kHead)].parameters;
  return 2.0 * static_cast<double>(sizes.active_parameters - head);
}

// Bytes that a decode step has to read: all weights but the embedding table, of the routed experts those that `batch`
// tokens are expected to choose, and the latent cache.
double DecodeStepBytes(const ModelConfig& config, const ModelSizes& sizes, int32_t batch, int32_t context) {
  double bytes = 0;
  for (size_t part = 0; part < sizes.main.size(); ++part) {
    const auto size = static_cast<double>(sizes.main[part].bytes);
    switch (static_cast<ModelPart>(part)) {
      case ModelPart::kEmbedding:
        break;
      case ModelPart::kRoutedExperts: {
        if (config.n_routed_experts == 0) break;
        const double missed = 1.0 - static_cast<double>(config.router.num_experts_per_tok) / config.n_routed_experts;
        bytes += size * (1 - std::pow(missed, batch));
        break;
      }
      default:
        bytes += size;
    }
  }
  return bytes + static_cast<double>(sizes.cache_bytes_per_token) * batch * context;
}

absl::StatusOr<json> RunSpeculation(const BenchOptions& options, const Checkpoint& checkpoint, BenchSteps& plain,
                                    const Clock& clock) {
  TESSERA_ASSIGN_OR_RETURN(const auto prompts, ReadPrompts(options.prompts_path, options.num_prompts));
  EngineOptions with_drafts = options.engine;
  with_drafts.draft_tokens = std::max(1, options.engine.draft_tokens);
  TESSERA_ASSIGN_OR_RETURN(const std::unique_ptr<InProcessWorkerGroup> drafting,
                           LoadWorkerGroup(checkpoint, with_drafts, 0, clock));
  BenchSteps drafting_steps(*drafting);
  TESSERA_ASSIGN_OR_RETURN(const std::vector<SpeculationResult> results,
                           CompareDrafts(prompts, checkpoint.config().eos_token_ids, plain, drafting_steps, clock));
  json rows = json::array();
  for (size_t count = 0; count < results.size(); ++count) {
    const SpeculationResult& result = results[count];
    json accepted = json::array();
    for (const DraftCounts& drafts : result.drafts) {
      accepted.push_back(static_cast<double>(drafts.num_accepted) / static_cast<double>(drafts.num_drafted));
    }
    rows.push_back({{"drafts", count},
                    {"tokens", result.num_tokens},
                    {"tokens_per_second", result.tokens_per_second()},
                    {"speed_up", result.tokens_per_second() / results[0].tokens_per_second()},
                    {"tokens_per_step", static_cast<double>(result.num_tokens) / static_cast<double>(result.num_steps)},
                    {"accepted", accepted}});
  }
  return rows;
}

absl::StatusOr<json> Run(const BenchOptions& options) {
  const RealClock clock;
  TESSERA_ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, Checkpoint::Open(options.folder));
  const ModelConfig& config = checkpoint->config();
  const ModelSizes sizes = ComputeSizes(config, nullptr);
  const absl::Time start = clock.Now();
  EngineOptions plain = options.engine;
  plain.draft_tokens = 0;
  TESSERA_ASSIGN_OR_RETURN(const std::unique_ptr<InProcessWorkerGroup> worker,
                           LoadWorkerGroup(*checkpoint, plain, 0, clock));
  const double load_seconds = absl::ToDoubleSeconds(clock.Now() - start);
  const int threads = NumThreads(options.engine);
  const Machine machine = MeasureMachine(threads);

  json result = {
      {"model", options.folder},    {"precision", options.engine.precision}, {"ranks", options.engine.num_ranks},
      {"machine", ToJson(machine)}, {"load_seconds", load_seconds},          {"prefill", json::array()},
      {"decode", json::array()}};
  BenchSteps steps(*worker);
  ModelBench bench(steps, clock);
  TESSERA_RETURN_IF_ERROR(bench.Decode(1, 16, 4).status());  // caches and page tables warm
  for (const int32_t tokens : options.prefill) {
    TESSERA_ASSIGN_OR_RETURN(const PrefillResult prefill, bench.Prefill(tokens, options.repetitions));
    result["prefill"].push_back(
        {{"prompt_tokens", tokens},
         {"tokens_per_second", prefill.tokens_per_second()},
         {"of_bf16_peak", prefill.tokens_per_second() * FlopPerPromptToken(sizes) / machine.bf16_peak}});
  }
  for (const int32_t context : options.contexts) {
    for (const int32_t batch : options.batches) {
      TESSERA_ASSIGN_OR_RETURN(const DecodeResult decode, bench.Decode(batch, context, options.steps));
      const double bytes = DecodeStepBytes(config, sizes, batch, context);
      result["decode"].push_back({{"batch", batch},
                                  {"context_tokens", context},
                                  {"step_ms", absl::ToDoubleMilliseconds(decode.step)},
                                  {"tokens_per_second", decode.tokens_per_second()},
                                  {"of_bandwidth", bytes / absl::ToDoubleSeconds(decode.step) / machine.bandwidth}});
    }
  }
  result["resident_bytes"] = ResidentBytes();
  if (!options.prompts_path.empty()) {
    TESSERA_ASSIGN_OR_RETURN(result["speculation"], RunSpeculation(options, *checkpoint, steps, clock));
  }
  return result;
}

void PrintTable(const json& result) {
  const json& machine = result["machine"];
  std::cout << absl::StrFormat("%s, %d threads: reads %.1f GB/s, BF16 peak %.0f GFLOP/s\n",
                               machine["cpu"].get<std::string>(), machine["threads"].get<int>(),
                               machine["read_bytes_per_second"].get<double>() / 1e9,
                               machine["bf16_flop_per_second"].get<double>() / 1e9);
  std::cout << absl::StrFormat("%s, %s, %d ranks: loaded in %.1f s, resident %.2f GiB\n\n",
                               result["model"].get<std::string>(), result["precision"].get<std::string>(),
                               result["ranks"].get<int>(), result["load_seconds"].get<double>(),
                               result["resident_bytes"].get<double>() / (1 << 30));
  std::cout << "prefill, one sequence\n    tokens      tok/s   of BF16 peak\n";
  for (const json& row : result["prefill"]) {
    std::cout << absl::StrFormat("  %8d  %9.1f  %12.1f %%\n", row["prompt_tokens"].get<int>(),
                                 row["tokens_per_second"].get<double>(), 100 * row["of_bf16_peak"].get<double>());
  }
  std::cout << "\ndecode\n     batch   context    step ms      tok/s   of read bandwidth\n";
  for (const json& row : result["decode"]) {
    std::cout << absl::StrFormat("  %8d  %8d  %9.2f  %9.1f  %16.1f %%\n", row["batch"].get<int>(),
                                 row["context_tokens"].get<int>(), row["step_ms"].get<double>(),
                                 row["tokens_per_second"].get<double>(), 100 * row["of_bandwidth"].get<double>());
  }
  if (!result.contains("speculation")) return;
  std::cout << "\nspeculation, one sequence\n    drafts      tok/s   speed-up   tok/step   accepted by position\n";
  for (const json& row : result["speculation"]) {
    std::cout << absl::StrFormat("  %8d  %9.1f  %9.2f  %9.2f  ", row["drafts"].get<int>(),
                                 row["tokens_per_second"].get<double>(), row["speed_up"].get<double>(),
                                 row["tokens_per_step"].get<double>());
    for (const json& share : row["accepted"]) std::cout << absl::StrFormat("%6.1f %%", 100 * share.get<double>());
    std::cout << '\n';
  }
}

}  // namespace

void AddBench(CLI::App& app, Runner* run) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* bench = app.add_subcommand("bench", "Measure a checkpoint's speed on this machine");
  bench->require_subcommand(1);
  CLI::App* model = bench->add_subcommand(
      "model", "Prefill and decode without server, as fractions of the memory bandwidth and BF16 peak measured beside");
  model->add_option("MODEL", options->folder, "Checkpoint folder")->required();
  model->add_option("--prefill", options->prefill, "Prompt lengths, e.g. 512,2048")->delimiter(',');
  model->add_option("--batch", options->batches, "Sequences decoded at a time, e.g. 1,4,16")->delimiter(',');
  model->add_option("--contexts", options->contexts, "Tokens before the first decoded one, e.g. 128,4096")
      ->delimiter(',');
  model->add_option("--steps", options->steps, "Decode steps measured (default: 32)")->check(CLI::PositiveNumber);
  model->add_option("--repetitions", options->repetitions, "Prefills measured (default: 3)")
      ->check(CLI::PositiveNumber);
  model->add_option(
      "--prompts", options->prompts_path,
      "JSON lines with 'prompt_ids', such as tests/golden/demo/heldout.jsonl: decode them greedily without "
      "the MTP module and with 1 to --mtp drafts (loads the model twice)");
  model->add_option("--num-prompts", options->num_prompts, "Prompts taken from the file (default: 20)")
      ->check(CLI::PositiveNumber);
  model->add_flag("--json", options->json_output, "Print JSON");
  AddEngineFlags(*model, options->engine);
  model->callback([options, run] {
    *run = [options] {
      TESSERA_CHECK_OK(SetUpLog("warn", "text"));
      const absl::StatusOr<json> result = Run(*options);
      if (!result.ok()) {
        std::cerr << "tessera bench: " << result.status().message() << std::endl;
        return 1;
      }
      if (options->json_output) {
        std::cout << result->dump(2) << std::endl;
      } else {
        PrintTable(*result);
      }
      return 0;
    };
  });
}

}  // namespace tessera
