#include "cmd/speculation_bench.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera {

absl::StatusOr<std::vector<std::vector<TokenId>>> ReadPrompts(const std::string& path, size_t count) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrFormat("--prompts: %s cannot be read", path));
  std::vector<std::vector<TokenId>> all;
  for (std::string line; std::getline(file, line);) {
    const nlohmann::json parsed = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    const auto ids = parsed.is_object() ? parsed.find("prompt_ids") : parsed.end();
    const bool is_prompt =
        ids != parsed.end() && ids->is_array() && !ids->empty() &&
        std::all_of(ids->begin(), ids->end(), [](const nlohmann::json& id) { return id.is_number_integer(); });
    if (!is_prompt) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s, line %d: wanted a JSON object with token numbers in 'prompt_ids'", path, all.size() + 1));
    }
    all.push_back(ids->get<std::vector<TokenId>>());
  }
  count = std::min(count, all.size());
  std::vector<std::vector<TokenId>> prompts;
  for (size_t i = 0; i < count; ++i) prompts.push_back(std::move(all[i * all.size() / count]));
  return prompts;
}

SpeculationBench::SpeculationBench(BenchSteps& steps, std::vector<TokenId> stop_tokens, int32_t max_tokens,
                                   const Clock& clock)
    : steps_(steps), stop_tokens_(std::move(stop_tokens)), max_tokens_(max_tokens), clock_(clock) {}

absl::StatusOr<std::vector<TokenId>> SpeculationBench::Decode(std::span<const TokenId> prompt, int32_t draft_tokens,
                                                              SpeculationResult& result) {
  const WorkerLimits& limits = steps_.limits();
  const auto num_prompt = static_cast<int32_t>(prompt.size());
  const int32_t num_tokens = num_prompt + max_tokens_;
  const int32_t blocks = (num_tokens + limits.block_tokens - 1) / limits.block_tokens;
  if (num_prompt > limits.step_tokens_max || num_tokens > limits.context_tokens_max || blocks > limits.num_blocks) {
    return absl::OutOfRangeError(absl::StrFormat(
        "a prompt of %d tokens and %d more: the worker has room for steps of %d tokens, a context of %d and %d blocks",
        num_prompt, max_tokens_, limits.step_tokens_max, limits.context_tokens_max, limits.num_blocks));
  }
  const SequenceId id = steps_.NewSequence();
  AppendedBlocks appended{.sequence = id};
  for (int32_t block = 0; block < blocks; ++block) appended.blocks.push_back(block);
  AddedSequence added{.sequence = id,
                      .prompt = {prompt.begin(), prompt.end()},
                      .sampling = {.temperature = 0},
                      .max_tokens = max_tokens_,
                      .stop_tokens = stop_tokens_};
  steps_.Submit({.draft_tokens = draft_tokens,
                 .added = {std::move(added)},
                 .blocks = {std::move(appended)},
                 .slices = {{id, num_prompt}}});
  std::vector<TokenId> tokens;
  TESSERA_ASSIGN_OR_RETURN(bool ended, Receive(tokens, result));
  const absl::Time start = clock_.Now();
  const StepPlan decode{.draft_tokens = draft_tokens, .slices = {{id, 1 + draft_tokens}}};
  if (!ended) steps_.Submit(decode);
  while (!ended) {
    steps_.Submit(decode);  // a step ahead: of no use only when the one before it is the last
    ++result.num_steps;
    TESSERA_ASSIGN_OR_RETURN(ended, Receive(tokens, result));
    if (ended) result.duration += clock_.Now() - start;
    if (ended) TESSERA_RETURN_IF_ERROR(steps_.Receive().status());
  }
  result.num_tokens += static_cast<int64_t>(tokens.size()) - 1;  // the first is the prompt's
  steps_.Submit({.freed = {id}});
  TESSERA_RETURN_IF_ERROR(steps_.Receive().status());
  return tokens;
}

absl::StatusOr<bool> SpeculationBench::Receive(std::vector<TokenId>& tokens, SpeculationResult& result) {
  TESSERA_ASSIGN_OR_RETURN(const StepResult step, steps_.Receive());
  if (result.drafts.size() < step.drafts.size()) result.drafts.resize(step.drafts.size());
  for (size_t i = 0; i < step.drafts.size(); ++i) {
    result.drafts[i].num_drafted += step.drafts[i].num_drafted;
    result.drafts[i].num_accepted += step.drafts[i].num_accepted;
  }
  if (step.sequences.empty()) return absl::InternalError("a step brought no token");
  const SequenceResult& mine = step.sequences[0];
  if (!mine.status.ok()) return mine.status;
  tokens.insert(tokens.end(), mine.tokens.begin(), mine.tokens.end());
  return mine.finish.has_value();
}

absl::StatusOr<std::vector<SpeculationResult>> CompareDrafts(const std::vector<std::vector<TokenId>>& prompts,
                                                             const std::vector<TokenId>& stop_tokens, BenchSteps& plain,
                                                             BenchSteps& drafting, const Clock& clock) {
  constexpr int32_t kTokensMax = 512;  // of one answer
  SpeculationBench plain_bench(plain, stop_tokens, kTokensMax, clock);
  SpeculationBench drafting_bench(drafting, stop_tokens, kTokensMax, clock);
  const int32_t drafts_max = drafting.limits().draft_tokens_max;
  std::vector<SpeculationResult> results(static_cast<size_t>(drafts_max) + 1);
  for (const std::vector<TokenId>& prompt : prompts) {
    TESSERA_ASSIGN_OR_RETURN(const std::vector<TokenId> wanted, plain_bench.Decode(prompt, 0, results[0]));
    for (int32_t count = 1; count <= drafts_max; ++count) {
      TESSERA_ASSIGN_OR_RETURN(const std::vector<TokenId> tokens,
                               drafting_bench.Decode(prompt, count, results[static_cast<size_t>(count)]));
      if (tokens != wanted) return absl::InternalError(absl::StrFormat("%d drafts: the tokens are others", count));
    }
  }
  return results;
}

}  // namespace tessera
