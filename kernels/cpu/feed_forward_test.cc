// GatedMlp and MoeExperts.

#include "kernels/cpu/feed_forward.h"

#include <limits>

#include "kernels/cpu/forms.h"
#include "kernels/problems.h"
#include "kernels/reference/reference_backend.h"

namespace tessera::cpu {
namespace {

// Networks of one shape, in the checkpoint's form.
struct Networks {
  Networks(Numbers& numbers, DType dtype, int64_t count, int64_t the_hidden, int64_t the_intermediate)
      : hidden(the_hidden), intermediate(the_intermediate) {
    for (int64_t e = 0; e < count; ++e) {
      gate.push_back(OwnedMatrix::Random(numbers, dtype, intermediate, hidden));
      up.push_back(OwnedMatrix::Random(numbers, dtype, intermediate, hidden));
      down.push_back(OwnedMatrix::Random(numbers, dtype, hidden, intermediate));
    }
  }
  int64_t hidden;
  int64_t intermediate;
  std::vector<OwnedMatrix> gate, up, down;
};

struct PackedNetworks {
  PackedNetworks(Backend& backend, const Networks& networks, Precision precision) {
    const auto pack = [&](const OwnedMatrix& matrix) {
      owned.push_back(PackOrDie(backend, matrix.view(), precision));
      return owned.back().get();
    };
    for (size_t e = 0; e < networks.gate.size(); ++e) {
      weights.push_back({.gate = pack(networks.gate[e]), .up = pack(networks.up[e]), .down = pack(networks.down[e])});
    }
  }
  std::vector<std::unique_ptr<PackedMatrix>> owned;
  std::vector<GatedMlpWeights> weights;
};

std::vector<float> RunMlp(Backend& backend, const Networks& networks, Precision precision,
                          const std::vector<float>& input, std::vector<float> output = {}) {
  const PackedNetworks packed(backend, networks, precision);
  const bool accumulate = !output.empty();
  const int64_t count = static_cast<int64_t>(input.size()) / networks.hidden;
  output.resize(input.size(), -7.0F);
  const GatedMlpArgs args = {.input = {input.data(), {count, networks.hidden}},
                             .weights = packed.weights[0],
                             .output = {output.data(), {count, networks.hidden}},
                             .accumulate = accumulate};
  TESSERA_CHECK_OK(Validate(args));
  TESSERA_CHECK_OK(backend.GatedMlp(args));
  return output;
}

// Tokens routed to experts: pair_token by expert.
std::vector<float> RunExperts(Backend& backend, const Networks& networks, Precision precision,
                              const std::vector<float>& input, const std::vector<std::vector<int32_t>>& tokens) {
  const PackedNetworks packed(backend, networks, precision);
  std::vector<int32_t> pair_token;
  std::vector<int32_t> expert_begin = {0};
  for (const std::vector<int32_t>& of_expert : tokens) {
    pair_token.insert(pair_token.end(), of_expert.begin(), of_expert.end());
    expert_begin.push_back(static_cast<int32_t>(pair_token.size()));
  }
  const auto num_pairs = static_cast<int64_t>(pair_token.size());
  std::vector<float> output(static_cast<size_t>(num_pairs * networks.hidden), -7.0F);
  const MoeExpertsArgs args = {
      .input = {input.data(), {static_cast<int64_t>(input.size()) / networks.hidden, networks.hidden}},
      .pair_token = pair_token,
      .expert_begin = expert_begin,
      .experts = packed.weights,
      .output = {output.data(), {num_pairs, networks.hidden}}};
  TESSERA_CHECK_OK(Validate(args));
  TESSERA_CHECK_OK(backend.MoeExperts(args));
  return output;
}

struct Weight {
  DType dtype;
  Precision precision;
  float tolerance;
};
constexpr Weight kWeights[] = {{DType::kF32, Precision::kF32, 3e-5F},
                               {DType::kBF16, Precision::kBF16, 5e-3F},
                               {DType::kF8E4M3, Precision::kBF16, 5e-3F}};

class FeedForwardTest : public EveryFormTest {};
INSTANTIATE_TEST_SUITE_P(Forms, FeedForwardTest, kEveryForm, FormName);

TEST_P(FeedForwardTest, TheMlpMatchesTheReferenceAtOddSizes) {
  Numbers numbers(1);
  const auto reference = reference::MakeBackend();
  const auto form = MakeForm();
  for (const Weight& weight : kWeights) {
    for (const auto& [hidden, intermediate] : {std::pair(1, 1), std::pair(65, 63), std::pair(129, 200)}) {
      const Networks networks(numbers, weight.dtype, 1, hidden, intermediate);
      for (const int64_t count : {0, 1, 65, 100}) {
        const std::vector<float> input = numbers.Vector(count * hidden);
        EXPECT_THAT(RunMlp(*form, networks, weight.precision, input),
                    IsCloseTo(RunMlp(*reference, networks, weight.precision, input), weight.tolerance))
            << hidden << " " << intermediate << " " << count;
      }
    }
  }
}

TEST_P(FeedForwardTest, TheMlpAddsToItsOutputWithAccumulate) {
  Numbers numbers(2);
  const auto form = MakeForm();
  for (const Weight& weight : kWeights) {
    const Networks networks(numbers, weight.dtype, 1, 70, 90);
    const std::vector<float> input = numbers.Vector(5 * 70);
    const std::vector<float> before = numbers.Vector(5 * 70);
    std::vector<float> wanted = RunMlp(*form, networks, weight.precision, input);
    for (size_t i = 0; i < wanted.size(); ++i) wanted[i] += before[i];
    EXPECT_THAT(RunMlp(*form, networks, weight.precision, input, before), IsCloseTo(wanted, 2e-5F));
  }
}

TEST_P(FeedForwardTest, ExpertsMatchTheReferenceWithAnySplitOfTheTokens) {
  Numbers numbers(3);
  const auto reference = reference::MakeBackend();
  const auto form = MakeForm();
  std::vector<int32_t> all(130);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int32_t>((i * 7) % all.size());
  const std::vector<std::vector<int32_t>> splits[] = {
      {{}, {}, {}}, {{}, all, {}}, {{3}, {}, {3, 4, 129}}, {{0, 1}, {5}, all}};
  for (const Weight& weight : kWeights) {
    const Networks networks(numbers, weight.dtype, 3, 65, 70);
    const std::vector<float> input = numbers.Vector(130 * 65);
    for (const auto& tokens : splits) {
      EXPECT_THAT(RunExperts(*form, networks, weight.precision, input, tokens),
                  IsCloseTo(RunExperts(*reference, networks, weight.precision, input, tokens), weight.tolerance));
    }
  }
}

TEST_P(FeedForwardTest, ATokenAloneEqualsTheTokenAmongOthers) {
  Numbers numbers(4);
  const auto form = MakeForm();
  for (const Weight& weight : kWeights) {
    const Networks networks(numbers, weight.dtype, 2, 66, 130);
    const std::vector<float> input = numbers.Vector(110 * 66);
    std::vector<int32_t> all;
    for (int32_t t = 0; t < 110; ++t) all.push_back(t);
    const std::vector<float> whole = RunExperts(*form, networks, weight.precision, input, {{}, all});
    for (const int32_t t : {0, 1, 57, 109}) {
      const std::vector<float> alone = RunExperts(*form, networks, weight.precision, input, {{}, {t}});
      EXPECT_THAT(alone, IsBitEqualTo(std::vector<float>(whole.begin() + t * 66, whole.begin() + (t + 1) * 66)));
      // The shared network runs the same numbers through GatedMlp.
      const std::vector<float> row(input.begin() + t * 66, input.begin() + (t + 1) * 66);
      EXPECT_THAT(RunExperts(*form, networks, weight.precision, row, {{0}, {}}),
                  IsBitEqualTo(RunMlp(*form, networks, weight.precision, row)));
    }
  }
}

TEST_P(FeedForwardTest, ANaNTokenAndNaNWeightsOfAnUnusedExpertHarmNobody) {
  Numbers numbers(5);
  const auto form = MakeForm();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Networks networks(numbers, DType::kF32, 2, 65, 70);
  std::vector<float> input = numbers.Vector(3 * 65);
  const std::vector<float> clean = RunExperts(*form, networks, Precision::kBF16, input, {{0, 2}, {}});
  std::memcpy(networks.down[1].bytes(), &nan, sizeof(nan));
  input[65] = nan;
  std::vector<float> got = RunExperts(*form, networks, Precision::kBF16, input, {{0, 1, 2}, {}});
  EXPECT_TRUE(std::isnan(got[65]));
  got.erase(got.begin() + 65, got.begin() + 130);
  EXPECT_THAT(got, IsBitEqualTo(clean));
}

}  // namespace
}  // namespace tessera::cpu
