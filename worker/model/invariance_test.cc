// A token's logits depend on its sequence alone: bit by bit the same whatever the chunk, the batch, or the rank count.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "base/check.h"
#include "worker/exchange/in_process_exchange.h"
#include "worker/model/testing/changed_checkpoint.h"
#include "worker/model/testing/golden.h"
#include "worker/model/testing/test_backends.h"
#include "worker/model/testing/test_rank.h"

namespace tessera {
namespace {

const std::vector<BlockId> kTable = {3, 0, 7};
const std::vector<BlockId> kOtherTable = {1, 9, 4};
constexpr int32_t kPrompt = 100;

class InvarianceTest : public testing::TestWithParam<std::tuple<TestBackend, Precision>> {
 protected:
  const Golden golden_ = ReadGolden("v3");
  const std::unique_ptr<Checkpoint> checkpoint_ = OpenOrDie(golden_.folder);
  const std::span<const TokenId> tokens_ = golden_.tokens;
  const DType wire_ = WireType(std::get<1>(GetParam()));

  TestRank MakeRank() const {
    return TestRank(*checkpoint_, {.precision = std::get<1>(GetParam())}, std::get<0>(GetParam()).make());
  }
  std::vector<float> Alone() const {
    TestRank rank = MakeRank();
    return RunInChunks(rank, tokens_, kPrompt, 140, kTable);
  }
};

TEST_P(InvarianceTest, ChunksOfAnySizeGiveTheSameBits) {
  const std::vector<float> whole = Alone();
  for (const int32_t chunk : {1, 7, 64}) {
    TestRank rank = MakeRank();
    EXPECT_EQ(RunInChunks(rank, tokens_, kPrompt, chunk, kTable), whole) << "chunk " << chunk;
  }
}

TEST_P(InvarianceTest, NeighboursInTheBatchDoNotShow) {
  const std::vector<float> whole = Alone();
  TestRank rank = MakeRank();
  const std::vector<TokenId> neighbour(tokens_.rbegin(), tokens_.rend());
  const auto run = [&](int32_t begin, int32_t count) {
    const std::vector<SequenceSlice> slices = {
        {.tokens = std::span(neighbour).subspan(static_cast<size_t>(begin), 5),
         .first_index = begin,
         .num_prompt = 30,
         .block_table = kOtherTable},
        {.tokens = tokens_.subspan(static_cast<size_t>(begin), static_cast<size_t>(count)),
         .first_index = begin,
         .num_prompt = kPrompt,
         .block_table = kTable}};
    return rank.Run(slices)[1];
  };
  std::vector<float> together;
  for (int32_t begin = 0; begin < 140; begin += 5) {
    const std::vector<float> part = run(begin, 5);
    together.insert(together.end(), part.begin(), part.end());
  }
  EXPECT_EQ(together, whole);
}

// Rank r runs a sequence that begins at token r; each must give what it gives on a group of one.
TEST_P(InvarianceTest, TheNumberOfRanksDoesNotShow) {
  const auto run = [&](TestRank& rank, int32_t first) {
    const auto part = tokens_.subspan(static_cast<size_t>(first), 70);
    return rank.Run({{.tokens = part, .num_prompt = 60, .block_table = kTable}})[0];
  };
  std::vector<std::vector<float>> wanted;
  for (int32_t first = 0; first < 8; ++first) {
    TestRank rank = MakeRank();
    wanted.push_back(run(rank, first));
  }
  const ModelConfig& config = checkpoint_->config();
  for (const int32_t num_ranks : {2, 4, 8}) {
    auto exchanges = MakeInProcessExchanges({.num_ranks = num_ranks,
                                             .n_routed_experts = config.n_routed_experts,
                                             .num_experts_per_tok = config.router.num_experts_per_tok,
                                             .hidden_size = config.hidden_size,
                                             .step_tokens_max = 160,
                                             .wire = wire_},
                                            absl::Seconds(120));
    std::vector<std::thread> threads;
    for (int32_t rank = 0; rank < num_ranks; ++rank) {
      threads.emplace_back([&, rank] {
        TestRank mine(*checkpoint_, {.precision = std::get<1>(GetParam()), .rank = rank, .num_ranks = num_ranks},
                      std::get<0>(GetParam()).make(), std::move(exchanges[static_cast<size_t>(rank)]));
        EXPECT_EQ(run(mine, rank), wanted[static_cast<size_t>(rank)]) << num_ranks << " ranks, rank " << rank;
        // A step in which this rank alone, then every other rank but this one, has nothing to do.
        for (int32_t idle = 0; idle < num_ranks; ++idle) {
          if (idle == rank) {
            mine.Run({});
          } else {
            EXPECT_EQ(run(mine, rank), wanted[static_cast<size_t>(rank)]);
          }
        }
        for (int32_t busy = 0; busy < num_ranks; ++busy) {
          if (busy != rank) {
            mine.Run({});
          } else {
            EXPECT_EQ(run(mine, rank), wanted[static_cast<size_t>(rank)]);
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

// What one expert spoils must not reach tokens that do not use it.
TEST_P(InvarianceTest, ANaNInAnExpertSpoilsOnlySequencesThatUseIt) {
  const ModelConfig& config = checkpoint_->config();
  ChangedCheckpoint changed(*checkpoint_);
  changed.ChangeMatrix("model.layers.1.mlp.experts.5.up_proj.weight", config.moe_intermediate_size, config.hidden_size,
                       [](std::vector<float>& values) { values[3] = std::nanf(""); });
  TestRank good = MakeRank();
  TestRank bad(changed, {.precision = std::get<1>(GetParam()), .check_finite = false}, std::get<0>(GetParam()).make());
  std::vector<SequenceSlice> slices;
  const std::vector<BlockId> blocks = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  for (size_t i = 0; i < blocks.size(); ++i) {  // of two tokens each
    slices.push_back({.tokens = tokens_.subspan(2 * i, 2),
                      .num_prompt = i % 2 == 0 ? 2 : 1,
                      .block_table = std::span(blocks).subspan(i, 1)});
  }
  const auto wanted = good.Run(slices);
  const auto got = bad.Run(slices);
  int spoiled = 0;
  for (size_t i = 0; i < slices.size(); ++i) {
    const bool finite = std::all_of(got[i].begin(), got[i].end(), [](float value) { return std::isfinite(value); });
    if (!finite) {
      ++spoiled;
    } else {
      EXPECT_EQ(got[i], wanted[i]) << "sequence " << i;
    }
  }
  EXPECT_GT(spoiled, 0) << "the test needs a sequence that uses the expert";
  EXPECT_LT(spoiled, 10) << "and one that does not";
}

// All tokens to the same experts, none to most.
TEST_P(InvarianceTest, AllTokensOnTheSameExpertsGiveTheSameBitsOnEveryRankCount) {
  const ModelConfig& config = checkpoint_->config();
  ChangedCheckpoint changed(*checkpoint_);
  for (int layer = 1; layer < config.num_hidden_layers; ++layer) {
    changed.ChangeMatrix("model.layers." + std::to_string(layer) + ".mlp.gate.weight", config.n_routed_experts,
                         config.hidden_size,
                         [](std::vector<float>& values) { std::fill(values.begin(), values.end(), 0.0F); });
  }
  TestRank one(changed, {.precision = std::get<1>(GetParam())}, std::get<0>(GetParam()).make());
  const std::vector<float> wanted = RunInChunks(one, tokens_.first(65), 65, 65, kTable);
  EXPECT_TRUE(std::all_of(wanted.begin(), wanted.end(), [](float value) { return std::isfinite(value); }));
  auto exchanges = MakeInProcessExchanges({.num_ranks = 4,
                                           .n_routed_experts = config.n_routed_experts,
                                           .num_experts_per_tok = config.router.num_experts_per_tok,
                                           .hidden_size = config.hidden_size,
                                           .step_tokens_max = 160,
                                           .wire = wire_},
                                          absl::Seconds(120));
  const std::vector<int32_t> counts = {0, 1, 63, 65};
  std::vector<std::thread> threads;
  for (int32_t rank = 0; rank < 4; ++rank) {
    threads.emplace_back([&, rank] {
      TestRank mine(changed, {.precision = std::get<1>(GetParam()), .rank = rank, .num_ranks = 4},
                    std::get<0>(GetParam()).make(), std::move(exchanges[static_cast<size_t>(rank)]));
      const auto count = static_cast<size_t>(counts[static_cast<size_t>(rank)]);
      if (count == 0) {
        mine.Run({});
        return;
      }
      const auto got = mine.Run({{.tokens = tokens_.first(count), .num_prompt = 65, .block_table = kTable}})[0];
      EXPECT_TRUE(std::equal(got.begin(), got.end(), wanted.begin())) << "rank " << rank;
    });
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(Backends, InvarianceTest,
                         testing::Combine(testing::ValuesIn(TestBackends()),
                                          testing::Values(Precision::kF32, Precision::kBF16)),
                         [](const auto& test) {
                           return std::get<0>(test.param).name +
                                  (std::get<1>(test.param) == Precision::kF32 ? "_F32" : "_BF16");
                         });

}  // namespace
}  // namespace tessera
