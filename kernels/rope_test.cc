#include "kernels/rope.h"

#include <cmath>
#include <cstring>
#include <span>

#include "gtest/gtest.h"

namespace tessera {
namespace {

// What Hugging Face transformers 5.24 computes for qk_rope_head_dim 64: no rope_scaling with rope_theta 10000;
// DeepSeek-V3 (factor 40); Kimi-K2 (rope_theta 50000, factor 32, beta 1 and 1).
constexpr float kPlain[] = {0x1p+0F,         0x1.7FF222p-1F,  0x1.1FEB34p-1F,  0x1.AFD136p-2F,  0x1.43D136p-2F,
                            0x1.E5A846p-3F,  0x1.6C310Ep-3F,  0x1.111AEEp-3F,  0x1.99999Ap-4F,  0x1.33281Ap-4F,
                            0x1.CCAB84p-5F,  0x1.59742Ap-5F,  0x1.030DC6p-5F,  0x1.84869Ep-6F,  0x1.235A72p-6F,
                            0x1.B4F7E4p-7F,  0x1.47AE14p-7F,  0x1.EB7360p-8F,  0x1.708938p-8F,  0x1.145CEEp-8F,
                            0x1.9E7C70p-9F,  0x1.36D21Ap-9F,  0x1.D22A50p-10F, 0x1.5D931Cp-10F, 0x1.0624DEp-10F,
                            0x1.892918p-11F, 0x1.26D42Cp-11F, 0x1.BA2E4Ap-12F, 0x1.4B96C0p-12F, 0x1.F1502Ap-13F,
                            0x1.74EEA6p-13F, 0x1.17A8E4p-13F};
constexpr float kDeepSeek[] = {0x1p+0F,         0x1.7FF222p-1F,  0x1.1FEB34p-1F,  0x1.AFD136p-2F,  0x1.43D136p-2F,
                               0x1.E5A846p-3F,  0x1.6C310Ep-3F,  0x1.111AEEp-3F,  0x1.99999Ap-4F,  0x1.33281Ap-4F,
                               0x1.CCAB84p-5F,  0x1.3F8B74p-5F,  0x1.B86436p-6F,  0x1.2D1B86p-6F,  0x1.97E506p-7F,
                               0x1.111AEEp-7F,  0x1.6872B2p-8F,  0x1.D2E0CCp-9F,  0x1.26D42Cp-9F,  0x1.67459Ap-10F,
                               0x1.9E7C6Ep-11F, 0x1.B32624p-12F, 0x1.74EEA6p-13F, 0x1.17A8E2p-15F, 0x1.A36E2Ep-16F,
                               0x1.3A8746p-16F, 0x1.D7B9E0p-17F, 0x1.61BEA2p-17F, 0x1.094566p-17F, 0x1.8DD9BAp-18F,
                               0x1.2A5884p-18F, 0x1.BF749Ep-19F};
constexpr float kKimi[] = {0x1p+0F,         0x1.6D1CE6p-1F,  0x1.045DB6p-1F,  0x1.7356FEp-2F,  0x1.08CE7Ap-2F,
                           0x1.79AC46p-3F,  0x1.0D52A2p-3F,  0x1.801D36p-4F,  0x1.11EA82p-4F,  0x1.86AA46p-5F,
                           0x1.16966Ep-5F,  0x1.8D53EEp-6F,  0x1.1B56C2p-6F,  0x1.941AACp-7F,  0x1.202BD2p-7F,
                           0x1.9AFF04p-8F,  0x1.2515FEp-8F,  0x1.A20170p-9F,  0x1.2A159Ep-9F,  0x1.A92278p-10F,
                           0x1.2F2B10p-15F, 0x1.B0629Ep-16F, 0x1.3456B6p-16F, 0x1.B7C26Ep-17F, 0x1.3998EEp-17F,
                           0x1.BF4270p-18F, 0x1.3EF21Ap-18F, 0x1.C6E330p-19F, 0x1.4462A2p-19F, 0x1.CEA540p-20F,
                           0x1.49EAEAp-20F, 0x1.D6892Cp-21F};

constexpr YarnParams kDeepSeekYarn = {.factor = 40, .mscale = 1, .mscale_all_dim = 1};
constexpr YarnParams kKimiYarn = {.factor = 32, .beta_fast = 1, .beta_slow = 1, .mscale = 1, .mscale_all_dim = 1};

int64_t UnitsApart(float a, float b) {
  int32_t a_bits;
  int32_t b_bits;
  std::memcpy(&a_bits, &a, sizeof(a));
  std::memcpy(&b_bits, &b, sizeof(b));
  return std::abs(static_cast<int64_t>(a_bits) - b_bits);
}

void ExpectWithinUnits(const RopeFrequencies& frequencies, std::span<const float> wanted, int64_t units) {
  ASSERT_EQ(frequencies.inverse_frequency.size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_LE(UnitsApart(frequencies.inverse_frequency[i], wanted[i]), units) << i;
  }
}

TEST(RopeFrequenciesTest, EqualTheReferenceImplementationToTheLastBitForDeepSeek) {
  ExpectWithinUnits(MakeRopeFrequencies(64, 10000, true, nullptr), kPlain, 0);
  ExpectWithinUnits(MakeRopeFrequencies(64, 10000, true, &kDeepSeekYarn), kDeepSeek, 0);
}

// The reference's vectorized power is not correctly rounded: one of the 32 differs from the C library's by one unit.
TEST(RopeFrequenciesTest, EqualTheReferenceImplementationToOneUnitForKimi) {
  ExpectWithinUnits(MakeRopeFrequencies(64, 50000, true, &kKimiYarn), kKimi, 1);
}

TEST(RopeFrequenciesTest, StayStaticAndPlainOutsideTheRamp) {
  const RopeFrequencies plain = MakeRopeFrequencies(64, 10000, true, nullptr);
  const RopeFrequencies yarn = MakeRopeFrequencies(64, 10000, false, &kDeepSeekYarn);
  EXPECT_TRUE(plain.interleaved);
  EXPECT_FALSE(yarn.interleaved);
  for (size_t i = 0; i <= 10; ++i) EXPECT_EQ(yarn.inverse_frequency[i], plain.inverse_frequency[i]) << i;
  for (size_t i = 23; i < 32; ++i) {
    EXPECT_FLOAT_EQ(yarn.inverse_frequency[i], plain.inverse_frequency[i] / 40) << i;
  }
}

TEST(RopeFrequenciesTest, SurvivesARampWithoutWidthAndTinyDimensions) {
  const YarnParams flat = {.factor = 4, .original_max_position_embeddings = 4, .beta_fast = 1, .beta_slow = 1};
  for (const int dim : {2, 4, 16}) {
    for (const float frequency : MakeRopeFrequencies(dim, 10000, true, &flat).inverse_frequency) {
      EXPECT_TRUE(std::isfinite(frequency) && frequency > 0);
    }
  }
}

TEST(RopeFrequenciesTest, CosAndSinAreScaledByTheRatioOfTheTwoMscales) {
  EXPECT_EQ(MakeRopeFrequencies(64, 10000, true, &kDeepSeekYarn).cos_sin_factor, 1.0F);
  YarnParams yarn = kDeepSeekYarn;
  yarn.mscale_all_dim = 0;
  EXPECT_FLOAT_EQ(MakeRopeFrequencies(64, 10000, true, &yarn).cos_sin_factor, 1.36888795F);
  yarn.attention_factor = 0.5;
  EXPECT_EQ(MakeRopeFrequencies(64, 10000, true, &yarn).cos_sin_factor, 0.5F);
  yarn = {.factor = 1};
  EXPECT_EQ(MakeRopeFrequencies(64, 10000, true, &yarn).cos_sin_factor, 1.0F);
}

TEST(AttentionScaleTest, HasTheSquareOfMscaleOnceAndOnlyWithMscaleAllDim) {
  EXPECT_FLOAT_EQ(AttentionScale(192, nullptr), 0.07216878F);
  EXPECT_FLOAT_EQ(AttentionScale(192, &kDeepSeekYarn), 0.13523378F);
  EXPECT_FLOAT_EQ(AttentionScale(192, &kKimiYarn), 0.13086080F);
  YarnParams lite = kDeepSeekYarn;
  lite.mscale = lite.mscale_all_dim = 0.707;
  EXPECT_FLOAT_EQ(AttentionScale(192, &lite), 0.11472139F);
  lite.mscale_all_dim = 0;
  EXPECT_FLOAT_EQ(AttentionScale(192, &lite), 0.07216878F);
}

}  // namespace
}  // namespace tessera
