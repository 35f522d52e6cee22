#pragma once

#include <vector>

#include "kernels/cpu/memory.h"
#include "kernels/cpu/microkernels.h"
#include "kernels/cpu/thread_pool.h"

namespace tessera::cpu {

// What every operation of one backend runs with.
struct Context {
  Context(const Microkernels& the_kernels, const ThreadPoolOptions& pool_options)
      : kernels(the_kernels), pool(pool_options), scratch(static_cast<size_t>(pool.num_threads())) {}

  // Takes back the memory of the operation before. Each operation calls it once, first.
  void Reset() {
    workspace.Reset();
    for (Arena& arena : scratch) arena.Reset();
  }
  Arena& scratch_of(int thread) { return scratch[static_cast<size_t>(thread)]; }

  const Microkernels& kernels;
  ThreadPool pool;
  WeightMemory weights;
  Arena workspace;             // shared by the threads of one operation; taken from between parallel loops
  std::vector<Arena> scratch;  // [threads]; one thread's own
};

}  // namespace tessera::cpu
