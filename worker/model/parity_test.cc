// The forward pass against Hugging Face transformers, in F32, with every backend of this machine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "worker/model/testing/golden.h"
#include "worker/model/testing/test_backends.h"
#include "worker/model/testing/test_rank.h"

namespace tessera {
namespace {

constexpr double kTolerance = 1e-4;
const std::vector<BlockId> kTable = {3, 0, 7, 5};

class ParityTest : public testing::TestWithParam<std::tuple<std::string, TestBackend>> {
 protected:
  const Golden golden_ = ReadGolden(std::get<0>(GetParam()));
  const std::unique_ptr<Checkpoint> checkpoint_ = OpenOrDie(golden_.folder);
  std::unique_ptr<Backend> MakeBackend() const { return std::get<1>(GetParam()).make(); }

  void ExpectLogits(const std::vector<float>& logits, const std::string& name, const std::vector<int32_t>& rows) const {
    const Golden::Values& wanted = golden_.values.at(name);
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_LE(RelativeError(logits.data() + rows[i] * wanted.cols, wanted.row(static_cast<int64_t>(i)), wanted.cols),
                kTolerance)
          << name << ", token " << rows[i];
    }
  }
};

TEST_P(ParityTest, HiddenStatesAfterEveryLayerAndLogitsAreThoseOfTheReference) {
  TestRank rank(*checkpoint_, {}, MakeBackend());
  int layers_seen = 0;
  rank.model().set_observer([&](int32_t layer, Tensor<const float, 2> hidden) {
    const Golden::Values& wanted = golden_.values.at(absl::StrFormat("hidden.%d", layer));
    for (size_t i = 0; i < golden_.rows.size(); ++i) {
      EXPECT_LE(RelativeError(hidden.row(golden_.rows[i]), wanted.row(static_cast<int64_t>(i)), wanted.cols),
                kTolerance)
          << "layer " << layer << ", token " << golden_.rows[i];
    }
    ++layers_seen;
  });
  const auto num_tokens = static_cast<int32_t>(golden_.tokens.size());
  ExpectLogits(RunInChunks(rank, golden_.tokens, num_tokens, num_tokens, kTable), "logits", golden_.rows);
  EXPECT_EQ(layers_seen, rank.config().num_hidden_layers + 1);
}

TEST_P(ParityTest, GeneratedTokensInAbsorbedFormHaveTheSameLogits) {
  TestRank rank(*checkpoint_, {}, MakeBackend());
  ExpectLogits(RunInChunks(rank, golden_.tokens, /*num_prompt=*/3, 140, kTable), "logits", golden_.rows);
  TestRank one_by_one(*checkpoint_, {}, MakeBackend());
  ExpectLogits(RunInChunks(one_by_one, golden_.tokens, /*num_prompt=*/3, 1, kTable), "logits", golden_.rows);
}

// Rounding alone may turn a token to another expert, so a row can be far off; most rows must be near.
TEST_P(ParityTest, LogitsInBf16AreNearThoseOfTheReference) {
  TestRank rank(*checkpoint_, {.precision = Precision::kBF16}, MakeBackend());
  const std::vector<float> logits = RunInChunks(rank, golden_.tokens, /*num_prompt=*/100, 140, kTable);
  const Golden::Values& wanted = golden_.values.at("logits");
  std::vector<double> errors;
  for (size_t i = 0; i < golden_.rows.size(); ++i) {
    errors.push_back(
        RelativeError(logits.data() + golden_.rows[i] * wanted.cols, wanted.row(static_cast<int64_t>(i)), wanted.cols));
  }
  std::sort(errors.begin(), errors.end());
  EXPECT_LE(errors[errors.size() / 2], 0.03) << "the median row";
  EXPECT_LE(errors[errors.size() * 3 / 4], 0.1) << "the worst quarter but one";
}

class FarPositionTest : public ParityTest {};

TEST_P(FarPositionTest, LogitsUnderYarnAreThoseOfTheReference) {
  const std::span<const TokenId> tokens = std::span(golden_.tokens).first(static_cast<size_t>(golden_.num_far_tokens));
  TestRank rank(*checkpoint_, {}, MakeBackend());
  for (const int32_t position : {4090, 8191, 32760, 100'000, 131'060}) {
    const std::string name = absl::StrFormat("logits.at.%d", position);
    for (const int32_t num_prompt : {golden_.num_far_tokens, 1}) {
      const auto logits =
          rank.Run({{.tokens = tokens, .num_prompt = num_prompt, .block_table = kTable, .first_position = position}});
      ExpectLogits(logits[0], name, golden_.far_rows);
    }
  }
}

class MtpParityTest : public ParityTest {};

TEST_P(MtpParityTest, LogitsAreThoseOfTheReference) {
  TestRank rank(*checkpoint_, {.mtp = true}, MakeBackend());
  const auto num_tokens = static_cast<int64_t>(golden_.tokens.size());
  RunInChunks(rank, golden_.tokens, static_cast<int32_t>(num_tokens), static_cast<int32_t>(num_tokens), kTable);
  std::vector<int32_t> rows(static_cast<size_t>(num_tokens - 1));
  std::iota(rows.begin(), rows.end(), 0);
  TESSERA_CHECK_OK(rank.model().NormedHidden(rows, rank.mtp().input(num_tokens - 1)));

  rank.builder().Clear();
  rank.builder().Add({.tokens = std::span(golden_.tokens).subspan(1),
                      .num_prompt = static_cast<int32_t>(num_tokens),
                      .block_table = kTable});
  const Batch batch = rank.builder().Build();
  TESSERA_CHECK_OK(rank.mtp().Forward(batch, rank.cache()));
  const int64_t vocab = rank.config().vocab_size;
  const Golden::Values& wanted = golden_.values.at("mtp_logits");
  std::vector<float> logits(golden_.rows.size() * static_cast<size_t>(vocab));
  TESSERA_CHECK_OK(rank.mtp().Logits(golden_.rows, {logits.data(), {wanted.rows, vocab}}));
  for (int64_t i = 0; i < wanted.rows; ++i) {
    EXPECT_LE(RelativeError(logits.data() + i * vocab, wanted.row(i), vocab), kTolerance) << "row " << i;
  }
}

std::string NameOf(const testing::TestParamInfo<ParityTest::ParamType>& test) {
  std::string name = std::get<0>(test.param) + "_" + std::get<1>(test.param).name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, ParityTest,
                         testing::Combine(testing::Values("v2-lite", "v2", "v3", "v3-half-rope", "v3-bias", "v3-ties",
                                                          "v3-256-experts", "v3-fp8", "v31-fp8-blocks", "moonlight"),
                                          testing::ValuesIn(TestBackends())),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Checkpoints, FarPositionTest,
                         testing::Combine(testing::Values("v2-lite", "v3"), testing::ValuesIn(TestBackends())), NameOf);
INSTANTIATE_TEST_SUITE_P(Checkpoints, MtpParityTest,
                         testing::Combine(testing::Values("v3"), testing::ValuesIn(TestBackends())), NameOf);

}  // namespace
}  // namespace tessera
