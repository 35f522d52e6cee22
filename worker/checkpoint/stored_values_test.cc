#include "worker/checkpoint/stored_values.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"

namespace tessera {
namespace {

using testing::ElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(StoredValuesTest, F16HasSubnormalsInfinitiesAndNaN) {
  EXPECT_EQ(F16ToF32(0x3C00), 1.0F);
  EXPECT_EQ(F16ToF32(0xC400), -4.0F);
  EXPECT_EQ(F16ToF32(0x7BFF), 65504.0F);
  EXPECT_EQ(F16ToF32(0x0400), std::ldexp(1.0F, -14));
  EXPECT_EQ(F16ToF32(0x0001), std::ldexp(1.0F, -24));
  EXPECT_EQ(F16ToF32(0x7C00), kInfinity);
  EXPECT_EQ(F16ToF32(0xFC00), -kInfinity);
  EXPECT_TRUE(std::isnan(F16ToF32(0x7C01)));
  EXPECT_TRUE(std::signbit(F16ToF32(0x8000)));
}

TEST(StoredValuesTest, E8M0IsAPowerOfTwo) {
  std::vector<float> values(4);
  ASSERT_TRUE(ConvertToF32(StoredDType::kF8E8M0, "\x7f\x80\x01\xff", values));
  EXPECT_THAT(std::span(values).first(3), ElementsAre(1.0F, 2.0F, std::ldexp(1.0F, -126)));
  EXPECT_TRUE(std::isnan(values[3]));
}

TEST(StoredValuesTest, ReadsAtAnyAlignment) {
  const std::string bytes = std::string("_") + std::string("\x80\x3f\x00\x40", 4);  // BF16 1 and 2
  std::vector<float> values(2);
  ASSERT_TRUE(ConvertToF32(StoredDType::kBF16, bytes.data() + 1, values));
  EXPECT_THAT(values, ElementsAre(1.0F, 2.0F));
}

TEST(StoredValuesTest, FormatsThatAreNoWeightsAreLeftAlone) {
  const std::vector<char> bytes(8, 1);
  for (const StoredDType dtype : {StoredDType::kF64, StoredDType::kI8, StoredDType::kI64, StoredDType::kBool,
                                  StoredDType::kF8E4M3, StoredDType::kF8E5M2, StoredDType::kU16}) {
    std::vector<float> values = {7};
    EXPECT_FALSE(ConvertToF32(dtype, bytes.data(), values)) << ToString(dtype);
    EXPECT_THAT(values, ElementsAre(7.0F));
  }
}

}  // namespace
}  // namespace tessera
