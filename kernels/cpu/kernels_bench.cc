// Bytes per second count each weight or cache byte once; operations count a multiply-add as two. Compare with
// BM_ReadBandwidth and BM_Bf16Peak of the same run.

#include "benchmark/benchmark.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/machine_peak.h"
#include "kernels/problems.h"

namespace tessera::cpu {
namespace {

constexpr int kThreads = 2;

std::unique_ptr<Backend> Make() { return MakeBackend({.num_threads = kThreads}); }

void Report(benchmark::State& state, double bytes, double operations) {
  const auto iterations = static_cast<double>(state.iterations());
  state.counters["bytes"] = benchmark::Counter(bytes * iterations, benchmark::Counter::kIsRate);
  state.counters["flop"] = benchmark::Counter(operations * iterations, benchmark::Counter::kIsRate);
}

void BM_ReadBandwidth(benchmark::State& state) {
  double best = 0;
  for (auto _ : state) best = std::max(best, MeasureReadBandwidth(kThreads));
  state.counters["bytes"] = best;
}
BENCHMARK(BM_ReadBandwidth)->Iterations(1)->UseRealTime();

void BM_Bf16Peak(benchmark::State& state) {
  double best = 0;
  for (auto _ : state) best = std::max(best, MeasureBf16Peak(kThreads));
  state.counters["flop"] = best;
}
BENCHMARK(BM_Bf16Peak)->Iterations(1)->UseRealTime();

void RunGemmBenchmark(benchmark::State& state, DType dtype, Precision precision) {
  const int64_t m = state.range(0);
  const int64_t n = state.range(1);
  const int64_t k = state.range(2);
  Numbers numbers(1);
  const OwnedMatrix matrix = OwnedMatrix::Random(numbers, dtype, n, k);
  const auto backend = Make();
  // As many copies as exceed the last-level cache, so that weights come from memory, as they do in a model.
  const int64_t copies = std::max<int64_t>(1, (int64_t{96} << 20) / (n * k * SizeOf(dtype)));
  std::vector<std::unique_ptr<PackedMatrix>> weights;
  for (int64_t i = 0; i < copies; ++i) weights.push_back(PackOrDie(*backend, matrix.view(), precision));
  const std::vector<float> input = numbers.Vector(m * k);
  std::vector<float> output(static_cast<size_t>(m * n));
  size_t next = 0;
  for (auto _ : state) {
    TESSERA_CHECK_OK(backend->Gemm({.input = {input.data(), {m, k}},
                                    .weight = weights[next++ % weights.size()].get(),
                                    .output = {output.data(), {m, n}}}));
  }
  Report(state, static_cast<double>(weights[0]->bytes()), 2.0 * static_cast<double>(m * n * k));
}
void BM_GemmBf16(benchmark::State& state) { RunGemmBenchmark(state, DType::kBF16, Precision::kBF16); }
void BM_GemmFp8(benchmark::State& state) { RunGemmBenchmark(state, DType::kF8E4M3, Precision::kBF16); }
void BM_GemmF32(benchmark::State& state) { RunGemmBenchmark(state, DType::kF32, Precision::kF32); }
BENCHMARK(BM_GemmBf16)
    ->ArgNames({"M", "N", "K"})
    ->ArgsProduct({{1, 4, 16, 64, 512}, {1024, 4096}, {1024, 4096}})
    ->Args({1, 129280, 1024})
    ->Args({16, 129280, 1024})
    ->UseRealTime();
BENCHMARK(BM_GemmFp8)->ArgNames({"M", "N", "K"})->ArgsProduct({{1, 16, 512}, {4096}, {4096}})->UseRealTime();
BENCHMARK(BM_GemmF32)->ArgNames({"M", "N", "K"})->ArgsProduct({{1, 16, 512}, {2048}, {2048}})->UseRealTime();

// Experts of hidden size 1024 and intermediate size 256, 8 of 256 a token, spread evenly.
void BM_MoeExperts(benchmark::State& state) {
  constexpr int64_t kExperts = 256;
  constexpr int64_t kHidden = 1024;
  constexpr int64_t kIntermediate = 256;
  const int64_t num_tokens = state.range(0);
  Numbers numbers(1);
  const OwnedMatrix wide = OwnedMatrix::Random(numbers, DType::kBF16, kIntermediate, kHidden);
  const OwnedMatrix tall = OwnedMatrix::Random(numbers, DType::kBF16, kHidden, kIntermediate);
  const auto backend = Make();
  std::vector<std::unique_ptr<PackedMatrix>> owned;
  std::vector<GatedMlpWeights> experts;
  for (int64_t e = 0; e < kExperts; ++e) {
    for (const OwnedMatrix* matrix : {&wide, &wide, &tall}) {
      owned.push_back(PackOrDie(*backend, matrix->view(), Precision::kBF16));
    }
    const size_t last = owned.size() - 1;
    experts.push_back({owned[last - 2].get(), owned[last - 1].get(), owned[last].get()});
  }
  std::vector<std::vector<int32_t>> tokens(kExperts);
  for (int64_t pair = 0; pair < num_tokens * 8; ++pair) {
    tokens[static_cast<size_t>(pair * 37 % kExperts)].push_back(static_cast<int32_t>(pair / 8));
  }
  std::vector<int32_t> pair_token;
  std::vector<int32_t> expert_begin = {0};
  int64_t used = 0;
  for (const auto& of_expert : tokens) {
    pair_token.insert(pair_token.end(), of_expert.begin(), of_expert.end());
    expert_begin.push_back(static_cast<int32_t>(pair_token.size()));
    used += of_expert.empty() ? 0 : 1;
  }
  const std::vector<float> input = numbers.Vector(num_tokens * kHidden);
  std::vector<float> output(pair_token.size() * kHidden);
  for (auto _ : state) {
    TESSERA_CHECK_OK(
        backend->MoeExperts({.input = {input.data(), {num_tokens, kHidden}},
                             .pair_token = pair_token,
                             .expert_begin = expert_begin,
                             .experts = experts,
                             .output = {output.data(), {static_cast<int64_t>(pair_token.size()), kHidden}}}));
  }
  constexpr double kValues = 3.0 * kHidden * kIntermediate;
  Report(state, 2 * kValues * static_cast<double>(used), 2 * kValues * static_cast<double>(pair_token.size()));
}
BENCHMARK(BM_MoeExperts)->ArgName("tokens")->Arg(1)->Arg(8)->Arg(64)->Arg(512)->UseRealTime();

// Decode over 4096 cached tokens a sequence; R 512, P 64.
void BM_MlaDecode(benchmark::State& state) {
  const int64_t num_queries = state.range(0);
  const int64_t heads = state.range(1);
  constexpr int32_t kTokens = 4096;
  Numbers numbers(1);
  OwnedCache cache(numbers, DType::kBF16, num_queries * kTokens / kBlockTokens, 512, 64);
  std::vector<std::vector<int32_t>> blocks;
  for (int64_t s = 0; s < num_queries; ++s) blocks.push_back(cache.TakeBlocks(kTokens));
  const std::vector<std::span<const int32_t>> tables(blocks.begin(), blocks.end());
  const std::vector<int32_t> num_tokens(static_cast<size_t>(num_queries), kTokens);
  const std::vector<float> absorbed = numbers.Vector(num_queries * heads * 576);
  std::vector<float> output(static_cast<size_t>(num_queries * heads * 512));
  const auto backend = Make();
  for (auto _ : state) {
    TESSERA_CHECK_OK(backend->MlaDecode({.absorbed = {absorbed.data(), {num_queries, heads, 576}},
                                         .cache = cache.view(),
                                         .block_tables = tables,
                                         .num_tokens = {num_tokens.data(), {num_queries}},
                                         .scale = 0.1F,
                                         .output = {output.data(), {num_queries, heads, 512}}}));
  }
  const double rows = static_cast<double>(num_queries) * kTokens;
  Report(state, rows * 576 * 2, rows * static_cast<double>(heads) * 2 * (576 + 512));
}
BENCHMARK(BM_MlaDecode)->ArgNames({"sequences", "heads"})->ArgsProduct({{1, 8}, {8, 16, 128}})->UseRealTime();

// Prefill of the last `rows` of a 4096-token prompt; N 128, P 64, V 128, R 512.
void BM_MlaPrefill(benchmark::State& state) {
  const int64_t rows = state.range(0);
  const int64_t heads = state.range(1);
  constexpr int64_t kTokens = 4096;
  Numbers numbers(1);
  OwnedCache cache(numbers, DType::kBF16, kTokens / kBlockTokens, 512, 64);
  const std::vector<int32_t> blocks = cache.TakeBlocks(kTokens);
  const PrefillSlice slice = {.num_rows = rows, .first_position = kTokens - rows, .block_table = blocks};
  const OwnedMatrix kv_b = OwnedMatrix::Random(numbers, DType::kBF16, heads * 256, 512);
  const auto backend = Make();
  const auto weight = PackOrDie(*backend, kv_b.view(), Precision::kBF16);
  const std::vector<float> query = numbers.Vector(rows * heads * 192);
  std::vector<float> output(static_cast<size_t>(rows * heads * 128));
  for (auto _ : state) {
    TESSERA_CHECK_OK(backend->MlaPrefill({.query = {query.data(), {rows, heads, 192}},
                                          .cache = cache.view(),
                                          .slices = {&slice, 1},
                                          .kv_b = weight.get(),
                                          .scale = 0.1F,
                                          .output = {output.data(), {rows, heads, 128}}}));
  }
  const double pairs = static_cast<double>(rows) * (kTokens - static_cast<double>(rows) / 2);
  const double expansion = static_cast<double>(kTokens) * 256 * 512;
  Report(state, static_cast<double>(kTokens) * 1152,
         2 * static_cast<double>(heads) * (pairs * (192 + 128) + expansion));
}
BENCHMARK(BM_MlaPrefill)->ArgNames({"rows", "heads"})->ArgsProduct({{64, 512}, {8}})->UseRealTime();

void BM_Router(benchmark::State& state) {
  const int64_t num_tokens = state.range(0);
  Numbers numbers(1);
  const std::vector<float> logits = numbers.Vector(num_tokens * 256, -4, 4);
  const std::vector<float> bias = numbers.Vector(256, -0.1F, 0.1F);
  std::vector<int32_t> experts(static_cast<size_t>(num_tokens * 8));
  std::vector<float> weights(experts.size());
  const auto backend = Make();
  for (auto _ : state) {
    TESSERA_CHECK_OK(backend->Router({.logits = {logits.data(), {num_tokens, 256}},
                                      .bias = {bias.data(), {256}},
                                      .params = {.n_group = 8, .topk_group = 4},
                                      .experts = {experts.data(), {num_tokens, 8}},
                                      .weights = {weights.data(), {num_tokens, 8}}}));
  }
  state.SetItemsProcessed(state.iterations() * num_tokens);
}
BENCHMARK(BM_Router)->ArgName("tokens")->Arg(1)->Arg(512)->UseRealTime();

}  // namespace
}  // namespace tessera::cpu
