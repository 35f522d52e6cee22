#include "server/limits/api_keys.h"

#include "gtest/gtest.h"

namespace tessera {
namespace {

TEST(ApiKeysTest, AdmitsEverybodyWithoutKeys) { EXPECT_TRUE(ApiKeys({}).Admits("")); }

TEST(ApiKeysTest, AdmitsEachKeyAndNothingElse) {
  const ApiKeys keys({"first-key", "second"});
  for (const char* good : {"Bearer first-key", "Bearer second", "bearer second", "BEARER second"}) {
    EXPECT_TRUE(keys.Admits(good)) << good;
  }
  for (const char* bad : {"", "Bearer", "Bearer ", "second", "Basic second", "Bearer secon", "Bearer secondd",
                          "Bearer second ", "Bearer  second", "Bearer Second", "Bearer secondsecond"}) {
    EXPECT_FALSE(keys.Admits(bad)) << bad;
  }
  EXPECT_FALSE(keys.Admits("Bearer " + std::string(1 << 20, 'x')));
}

}  // namespace
}  // namespace tessera
