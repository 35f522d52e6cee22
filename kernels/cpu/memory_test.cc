#include "kernels/cpu/memory.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace tessera::cpu {
namespace {

TEST(ArenaTest, HandsOutAlignedMemoryThatDoesNotOverlap) {
  Arena arena;
  for (int round = 0; round < 3; ++round) {
    arena.Reset();
    std::vector<char*> pieces;
    for (const int64_t bytes : {1, 64, 100, 70'000, 3, 0, 5'000'000}) {
      pieces.push_back(arena.Take<char>(bytes));
      EXPECT_EQ(reinterpret_cast<uintptr_t>(pieces.back()) % 64, 0U);
      std::fill_n(pieces.back(), bytes, static_cast<char>(pieces.size()));
    }
    EXPECT_EQ(pieces[0][0], 1);
    EXPECT_EQ(pieces[3][69'999], 4);
    EXPECT_EQ(pieces[4][2], 5);
  }
}

TEST(ArenaTest, SettlesOnOnePieceOfMemoryThatItReuses) {
  Arena arena;
  const auto step = [&] {
    arena.Reset();
    char* const first = arena.Take<char>(100'000);
    arena.Take<char>(300'000);
    return first;
  };
  step();
  char* const settled = step();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(step(), settled);
}

TEST(ArenaTest, ReleaseGivesTheSameMemoryOutAgain) {
  Arena arena;
  arena.Take<char>(10);
  const Arena::Mark mark = arena.Now();
  char* const first = arena.Take<char>(1000);
  arena.Release(mark);
  EXPECT_EQ(arena.Take<char>(1000), first);
}

TEST(WeightMemoryTest, AWeightOutlivesTheAllocatorAndItsNeighbours) {
  std::shared_ptr<char> kept;
  {
    WeightMemory memory;
    const std::shared_ptr<char> neighbour = memory.Take(1000);
    kept = memory.Take(1000);
    const std::shared_ptr<char> large = memory.Take(int64_t{50} << 20);
    EXPECT_GE(kept.get() - neighbour.get(), 1000);
  }
  std::fill_n(kept.get(), 1000, 'x');
  EXPECT_EQ(kept.get()[999], 'x');
}

}  // namespace
}  // namespace tessera::cpu
