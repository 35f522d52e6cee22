// Drafts change how many tokens a step brings, never which: every run here is compared with one without drafts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/status_matchers.h"
#include "worker/model/testing/test_rank.h"
#include "worker/testing/draftable_checkpoint.h"
#include "worker/testing/plan_driver.h"
#include "worker/testing/same_output.h"
#include "worker/testing/test_group.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct RunOptions {
  std::vector<int32_t> draft_tokens;  // of the steps in turn; none: without the module
  int32_t chunk = 64;
  int32_t num_ranks = 1;
  int32_t context_tokens_max = 400;
};

struct Outcome {
  std::vector<PlanDriver::Output> outputs;
  std::vector<DraftCounts> drafts;
  int64_t num_steps = 0;

  int64_t num_drafted() const { return drafts.empty() ? 0 : drafts[0].num_drafted; }
  int64_t num_accepted() const { return drafts.empty() ? 0 : drafts[0].num_accepted; }
};

class DraftTest : public testing::Test {
 protected:
  std::unique_ptr<InProcessWorkerGroup> MakeGroup(const Checkpoint& checkpoint, const RunOptions& run) const {
    WorkerGroupOptions options = TestGroupOptions(run.num_ranks);
    options.num_blocks = 100;
    options.context_tokens_max = run.context_tokens_max;
    options.check_finite = false;
    for (const int32_t count : run.draft_tokens) options.draft_tokens = std::max(options.draft_tokens, count);
    return MakeTestGroup(checkpoint, options, clock_);
  }

  // All sequences at once, on ranks in turn.
  Outcome Run(const std::vector<AddedSequence>& sequences, const RunOptions& run) const {
    return Run(sequences, run, *draftable_);
  }
  Outcome Run(const std::vector<AddedSequence>& sequences, const RunOptions& run, const Checkpoint& checkpoint) const {
    const auto group = MakeGroup(checkpoint, run);
    PlanDriver driver(*group, run.chunk, run.draft_tokens);
    for (size_t i = 0; i < sequences.size(); ++i) {
      driver.Add(static_cast<int32_t>(i) % run.num_ranks, sequences[i]);
    }
    TESSERA_CHECK_OK(driver.RunToEnd());
    Outcome outcome{.drafts = driver.drafts(), .num_steps = driver.num_steps()};
    for (const AddedSequence& sequence : sequences) outcome.outputs.push_back(driver.output(sequence.sequence));
    return outcome;
  }

  const RealClock clock_;
  const std::unique_ptr<Checkpoint> original_ = OpenOrDie("tests/golden/model/v3");
  const std::unique_ptr<Checkpoint> draftable_ = MakeDraftable(*original_);
};

// One sequence of every kind, by id.
std::vector<AddedSequence> AllKinds() {
  std::vector<SamplingParams> kinds = {
      {.temperature = 0, .num_logprobs = 3, .num_prompt_logprobs = 1},
      {.temperature = 0.7F, .seed = 11, .num_logprobs = 0},
      {.temperature = 1, .top_k = 5, .top_p = 0.9F, .seed = 12, .num_logprobs = 5},
      {.temperature = 1, .min_p = 0.2F, .seed = 13},
      {.temperature = 0, .repetition_penalty = 1.4F},
      {.temperature = 0.5F, .frequency_penalty = 1.1F, .presence_penalty = 0.8F, .seed = 14, .num_logprobs = 2},
      {.temperature = 0, .logit_bias = {{14, 3.0F}, {19, -100.0F}, {30, -4.0F}}, .num_logprobs = 1},
      {.temperature = 0},
      {.temperature = 0.3F, .seed = 15},
  };
  std::vector<AddedSequence> sequences;
  for (size_t i = 0; i < kinds.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    AddedSequence sequence = TestSequence(id, 5 + 17 * id % 70, 30 + 5 * id, id);
    sequence.sampling = kinds[i];
    if (id >= 7) sequence.stop_tokens = {14, 30, 47};
    if (id >= 7) sequence.min_tokens = 11;
    sequences.push_back(sequence);
  }
  return sequences;
}

void ExpectSame(const Outcome& got, const Outcome& wanted, const std::string& what) {
  for (size_t i = 0; i < wanted.outputs.size(); ++i) {
    EXPECT_TRUE(SameOutput(got.outputs[i], wanted.outputs[i]))
        << what << ", sequence " << i << "\n  got    " << absl::StrJoin(got.outputs[i].tokens, " ") << "\n  wanted "
        << absl::StrJoin(wanted.outputs[i].tokens, " ");
  }
}

TEST_F(DraftTest, OutputsOfEveryKindAreThoseOfARunWithoutDrafts) {
  const Outcome wanted = Run(AllKinds(), {});
  for (const std::vector<int32_t>& draft_tokens :
       std::vector<std::vector<int32_t>>{{1}, {2}, {4}, {3, 0, 1, 4, 0, 0}}) {
    for (const int32_t chunk : {1, 7, 64}) {
      const Outcome got = Run(AllKinds(), {.draft_tokens = draft_tokens, .chunk = chunk});
      const std::string what = absl::StrJoin(draft_tokens, ",") + " drafts, chunk " + std::to_string(chunk);
      ExpectSame(got, wanted, what);
      EXPECT_GT(got.num_accepted(), 20) << what;
      EXPECT_LT(got.num_accepted(), got.num_drafted() - 20) << what;
    }
  }
}

TEST_F(DraftTest, OutputsAreTheSameOnAnyNumberOfRanksAlsoWithRanksThatHaveNothingToDo) {
  const Outcome wanted = Run(AllKinds(), {});
  for (const int32_t num_ranks : {2, 4, 8}) {
    const Outcome got = Run(AllKinds(), {.draft_tokens = {4}, .chunk = 7, .num_ranks = num_ranks});
    ExpectSame(got, wanted, std::to_string(num_ranks) + " ranks");
    const Outcome alone = Run({AllKinds()[0]}, {.draft_tokens = {2}, .num_ranks = num_ranks});
    EXPECT_TRUE(SameOutput(alone.outputs[0], wanted.outputs[0])) << "alone on " << num_ranks << " ranks";
  }
}

TEST_F(DraftTest, OutputsAreTheSameWhenTheModuleKnowsNothing) {
  const Outcome wanted = Run(AllKinds(), {}, *original_);
  ExpectSame(Run(AllKinds(), {.draft_tokens = {1}}, *original_), wanted, "1 draft");
  ExpectSame(Run(AllKinds(), {.draft_tokens = {4}, .chunk = 7}, *original_), wanted, "4 drafts");
}

// Whatever a step's rows, the module has seen the whole sequence; a slip in rows, slots or positions changes the guess.
TEST_F(DraftTest, DraftsFollowFromTheSequenceAlone) {
  std::vector<DraftCounts> wanted(2);
  for (const AddedSequence& sequence : AllKinds()) {
    const Outcome alone = Run({sequence}, {.draft_tokens = {2}, .chunk = 100});
    for (size_t i = 0; i < 2; ++i) {
      wanted[i].num_drafted += alone.drafts[i].num_drafted;
      wanted[i].num_accepted += alone.drafts[i].num_accepted;
    }
  }
  for (const RunOptions& run :
       {RunOptions{.draft_tokens = {2}, .chunk = 1}, RunOptions{.draft_tokens = {2}, .chunk = 7},
        RunOptions{.draft_tokens = {2}, .chunk = 64}, RunOptions{.draft_tokens = {2}, .num_ranks = 2},
        RunOptions{.draft_tokens = {2}, .chunk = 7, .num_ranks = 4}}) {
    const Outcome got = Run(AllKinds(), run);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(got.drafts[i].num_drafted, wanted[i].num_drafted) << "chunk " << run.chunk << ", draft " << i;
      EXPECT_EQ(got.drafts[i].num_accepted, wanted[i].num_accepted) << "chunk " << run.chunk << ", draft " << i;
    }
  }
}

TEST_F(DraftTest, EveryStepOfADecodingSequenceVerifiesADraftAndAcceptedOnesSaveSteps) {
  const std::vector<AddedSequence> sequence = {TestSequence(1, 50, 100)};
  const Outcome got = Run(sequence, {.draft_tokens = {1}});
  // The first token is the prompt's; each later step brings one and what was accepted.
  const int64_t num_decode_steps = 99 - got.num_accepted();
  EXPECT_GE(got.num_drafted(), num_decode_steps - 1) << "but for the last, which may have one token to go";
  EXPECT_LE(got.num_drafted(), num_decode_steps);
  EXPECT_LT(num_decode_steps, 90);
}

TEST_F(DraftTest, AStopTokenAmongTheAcceptedDraftsEndsTheSequenceThere) {
  AddedSequence sequence = TestSequence(1, 20, 40);
  const std::vector<TokenId> free_run = Run({sequence}, {}).outputs[0].tokens;
  for (const TokenId stop : free_run) {
    sequence.stop_tokens = {stop};
    const Outcome got = Run({sequence}, {.draft_tokens = {4}});
    const auto end = std::find(free_run.begin(), free_run.end(), stop) + 1;
    EXPECT_EQ(got.outputs[0].tokens, std::vector<TokenId>(free_run.begin(), end));
    EXPECT_EQ(got.outputs[0].finish, FinishReason::kStop);
  }
}

TEST_F(DraftTest, MaxTokensAndContextAreKeptWhereverTheyFallAmongTheDrafts) {
  const std::vector<TokenId> free_run = Run({TestSequence(1, 60, 20)}, {}).outputs[0].tokens;
  for (int32_t count = 1; count <= 12; ++count) {
    const std::vector<TokenId> wanted(free_run.begin(), free_run.begin() + count);
    const Outcome by_tokens = Run({TestSequence(1, 60, count)}, {.draft_tokens = {4}});
    EXPECT_EQ(by_tokens.outputs[0].tokens, wanted) << "max_tokens " << count;
    EXPECT_EQ(by_tokens.outputs[0].finish, FinishReason::kLength);
    const Outcome by_context = Run({TestSequence(1, 60, 100)}, {.draft_tokens = {4}, .context_tokens_max = 60 + count});
    EXPECT_EQ(by_context.outputs[0].tokens, wanted) << "context " << 60 + count;
    EXPECT_EQ(by_context.outputs[0].finish, FinishReason::kLength);
  }
}

TEST_F(DraftTest, AResumedSequenceGoesOnWithTheTokensItWouldHaveHad) {
  for (const AddedSequence& sequence : AllKinds()) {
    const std::vector<TokenId> whole = Run({sequence}, {}).outputs[0].tokens;
    for (const size_t known : {size_t{1}, size_t{6}, whole.size() - 1}) {
      const auto begin = whole.begin() + static_cast<std::ptrdiff_t>(known);
      AddedSequence resumed = sequence;
      resumed.generated.assign(whole.begin(), begin);
      for (const int32_t chunk : {3, 64}) {
        EXPECT_EQ(Run({resumed}, {.draft_tokens = {3}, .chunk = chunk}).outputs[0].tokens,
                  std::vector<TokenId>(begin, whole.end()))
            << known << " tokens known, chunk " << chunk;
      }
    }
  }
}

TEST_F(DraftTest, ACachedPrefixServesTheModuleToo) {
  const RunOptions run{.draft_tokens = {2}};
  const auto group = MakeGroup(*draftable_, run);
  PlanDriver driver(*group, 64, run.draft_tokens);
  const AddedSequence first = TestSequence(1, 150, 60);
  driver.Add(0, first);
  ASSERT_THAT(driver.RunToEnd(), IsOk());
  const std::vector<DraftCounts> cold = driver.drafts();

  AddedSequence second = first;
  second.sequence = SequenceId{2};
  second.num_cached_tokens = 128;
  const std::vector<BlockId>& blocks = driver.output(first.sequence).blocks;
  driver.Add(0, second, {blocks[0], blocks[1]});
  ASSERT_THAT(driver.RunToEnd(), IsOk());
  EXPECT_TRUE(SameOutput(driver.output(second.sequence), driver.output(first.sequence)));
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(driver.drafts()[i].num_drafted, 2 * cold[i].num_drafted);
    EXPECT_EQ(driver.drafts()[i].num_accepted, 2 * cold[i].num_accepted);
  }
}

TEST_F(DraftTest, AModuleWhoseLogitsAreNotFiniteGuessesNothingAndHarmsNothing) {
  const ModelConfig& config = original_->config();
  ChangedCheckpoint broken(*draftable_);
  broken.ChangeMatrix("model.layers.3.eh_proj.weight", config.hidden_size, 2 * config.hidden_size,
                      [](std::vector<float>& values) { values[5] = std::nanf(""); });
  const Outcome got = Run(AllKinds(), {.draft_tokens = {2}}, broken);
  ExpectSame(got, Run(AllKinds(), {}), "a broken module");
  EXPECT_THAT(got.drafts, IsEmpty());
}

TEST_F(DraftTest, APlanThatAsksForTooManyDraftsBreaksTheGroup) {
  auto group = MakeGroup(*draftable_, {.draft_tokens = {2}});
  group->Submit({{.step = 1, .tokens_per_rank = {0}, .draft_tokens = 3}});
  EXPECT_THAT(group->Receive(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("draft_tokens: got 3")));

  group = MakeGroup(*draftable_, {.draft_tokens = {2}});
  const SequenceId id{1};
  group->Submit({{.step = 1,
                  .tokens_per_rank = {10},
                  .draft_tokens = 2,
                  .added = {TestSequence(1, 10, 9)},
                  .blocks = {{id, {0}}},
                  .slices = {{id, 10}}}});
  ASSERT_THAT(group->Receive(), IsOk());
  group->Submit({{.step = 2, .tokens_per_rank = {4}, .slices = {{id, 4}}}});
  EXPECT_THAT(group->Receive(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most the 3 left")));
}

TEST_F(DraftTest, DraftsPastTheBlocksOfASequenceAreNotRun) {
  const auto group = MakeGroup(*draftable_, {.draft_tokens = {4}});
  const SequenceId id{1};
  group->Submit({{.step = 1,
                  .tokens_per_rank = {63},
                  .draft_tokens = 4,
                  .added = {TestSequence(1, 63, 9)},
                  .blocks = {{id, {0}}},
                  .slices = {{id, 63}}}});
  ASSERT_THAT(group->Receive(), IsOk());
  // Index 63 holds the token just sampled: no slot is left for a draft.
  group->Submit({{.step = 2, .tokens_per_rank = {5}, .draft_tokens = 4, .slices = {{id, 5}}}});
  const auto results = group->Receive();
  ASSERT_THAT(results, IsOk());
  EXPECT_THAT((*results)[0].sequences[0].tokens, SizeIs(1));
  EXPECT_THAT((*results)[0].drafts, IsEmpty());
}

}  // namespace
}  // namespace tessera
