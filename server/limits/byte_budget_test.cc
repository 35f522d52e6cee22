#include "server/limits/byte_budget.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace tessera {
namespace {

TEST(ByteBudgetTest, BoundsTheSumOfAllShares) {
  ByteBudget budget(10);
  ByteBudget::Share first(budget);
  {
    ByteBudget::Share second(budget);
    EXPECT_TRUE(first.TryGrow(4));
    EXPECT_TRUE(second.TryGrow(6));
    EXPECT_FALSE(first.TryGrow(1));
    EXPECT_EQ(budget.bytes_held(), 10) << "what was refused is not held";
  }
  EXPECT_EQ(budget.bytes_held(), 4);
  EXPECT_TRUE(first.TryGrow(6));
}

TEST(ByteBudgetTest, IsNeverExceededByThreadsAtOnce) {
  ByteBudget budget(100);
  std::atomic<bool> was_exceeded = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 10'000; ++round) {
        ByteBudget::Share share(budget);
        if (share.TryGrow(40) && budget.bytes_held() > 100) was_exceeded = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(was_exceeded);
  EXPECT_EQ(budget.bytes_held(), 0);
}

}  // namespace
}  // namespace tessera
