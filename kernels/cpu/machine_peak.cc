#include "kernels/cpu/machine_peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "kernels/cpu/memory.h"
#include "kernels/cpu/microkernels.h"
#include "kernels/cpu/thread_pool.h"

namespace tessera::cpu {
namespace {

constexpr int kRounds = 40;  // the best counts: other load disturbs a round and never helps it

double BestSeconds(absl::FunctionRef<void()> work) {
  double best = 1e30;
  for (int round = 0; round <= kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (round > 0) best = std::min(best, elapsed.count());  // round 0 warms up
  }
  return best;
}

}  // namespace

double MeasureReadBandwidth(int num_threads) {
  constexpr int64_t kBytes = int64_t{256} << 20;
  constexpr int64_t kPiece = int64_t{1} << 20;
  const Microkernels& kernels = MicrokernelsFor(DetectIsa());
  const Buffer buffer(kBytes);
  ThreadPool pool({.num_threads = num_threads});
  std::vector<float> zeros(static_cast<size_t>(kPiece / kernels.panel_width) / sizeof(float));
  std::vector<float> sums(static_cast<size_t>(kBytes / kPiece * kernels.panel_width));
  // A product of one row, as in decode: each byte is loaded once and multiplied once.
  const auto read = [&](int64_t piece, int) {
    kernels.multiply_f32({.left = zeros.data(),
                          .panel = buffer.data() + piece * kPiece,
                          .num_elements = static_cast<int64_t>(zeros.size()),
                          .output = sums.data() + piece * kernels.panel_width,
                          .num_rows = 1,
                          .num_columns = kernels.panel_width});
  };
  const auto touch = [&](int64_t piece, int) { std::fill_n(buffer.data() + piece * kPiece, kPiece, char{1}); };
  pool.ParallelFor(kBytes / kPiece, touch);
  return static_cast<double>(kBytes) / BestSeconds([&] { pool.ParallelFor(kBytes / kPiece, read); });
}

double MeasureBf16Peak(int num_threads, Isa isa) {
  constexpr int64_t kElements = 64;  // of 32 bits: the panel stays in the L1 cache
  constexpr int64_t kRows = 60;
  constexpr int64_t kRepeats = 200;
  const Microkernels& kernels = MicrokernelsFor(isa);
  const std::vector<uint32_t> left(static_cast<size_t>(kRows * kElements));
  const std::vector<uint32_t> panel(static_cast<size_t>(kElements * kernels.panel_width));
  ThreadPool pool({.num_threads = num_threads});
  std::vector<std::vector<float>> outputs(static_cast<size_t>(num_threads));
  for (std::vector<float>& output : outputs) output.resize(static_cast<size_t>(kRows * kernels.panel_width));
  const auto multiply = [&](int64_t, int thread) {
    for (int64_t repeat = 0; repeat < kRepeats; ++repeat) {
      kernels.multiply_bf16({.left = left.data(),
                             .left_stride_bytes = kElements * 4,
                             .panel = panel.data(),
                             .num_elements = kElements,
                             .output = outputs[static_cast<size_t>(thread)].data(),
                             .output_stride = kernels.panel_width,
                             .num_rows = kRows,
                             .num_columns = kernels.panel_width});
    }
  };
  const double seconds = BestSeconds([&] { pool.ParallelFor(num_threads * 4, multiply); });
  const double operations = 4.0 * static_cast<double>(kElements * kRows * kernels.panel_width * kRepeats);
  return operations * num_threads * 4 / seconds;
}

}  // namespace tessera::cpu
