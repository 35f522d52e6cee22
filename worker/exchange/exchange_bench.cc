// One MoE layer's dispatch and combine between ranks of this machine, by transport: time, and bytes sent against the
// least that the routing needs.
#include <benchmark/benchmark.h>

#include <atomic>
#include <vector>

#include "base/check.h"
#include "worker/exchange/testing/exchange_driver.h"

namespace tessera {
namespace {

void BM_MoeLayer(benchmark::State& state) {
  const auto transport = static_cast<Transport>(state.range(0));
  const auto num_ranks = static_cast<int32_t>(state.range(1));
  const auto num_tokens = static_cast<int32_t>(state.range(2));
  const ExchangeConfig config{.num_ranks = num_ranks,
                              .n_routed_experts = 256,
                              .num_experts_per_tok = 8,
                              .hidden_size = 7168,
                              .step_tokens_max = num_tokens,
                              .wire = DType::kBF16};
  auto exchanges = ConnectGroup(config, transport);
  std::vector<RoutedTokens> tokens_of;
  std::vector<std::vector<float>> contributions_of(static_cast<size_t>(num_ranks));
  for (int32_t rank = 0; rank < num_ranks; ++rank) {
    tokens_of.push_back(MakeRoutedTokens(config, num_tokens, static_cast<uint32_t>(rank)));
    contributions_of[static_cast<size_t>(rank)].resize(static_cast<size_t>(num_tokens) * 8 * 7168);
  }
  const int64_t num_steps = 10;
  int64_t first_step = 1;
  for (auto _ : state) {
    RunRanks(exchanges, [&](ExpertExchange& exchange) {
      const RoutedTokens& tokens = tokens_of[static_cast<size_t>(exchange.rank())];
      std::vector<float>& contributions = contributions_of[static_cast<size_t>(exchange.rank())];
      const std::vector<int32_t> counts(static_cast<size_t>(num_ranks), num_tokens);
      for (int64_t step = first_step; step < first_step + num_steps; ++step) {
        TESSERA_CHECK_OK(exchange.BeginStep(step, counts));
        TESSERA_CHECK_OK(
            exchange.Dispatch({tokens.input.data(), {num_tokens, 7168}}, {tokens.experts.data(), {num_tokens, 8}})
                .status());
        TESSERA_CHECK_OK(exchange.Combine({contributions.data(), {num_tokens, 8, 7168}}));
      }
    });
    first_step += num_steps;
  }
  int64_t sent = 0;
  int64_t least = 0;
  for (const auto& exchange : exchanges) {
    sent += exchange->counters().bytes_sent;
    least += exchange->counters().bytes_least;
  }
  state.SetLabel(NameOf(transport));
  state.SetItemsProcessed(state.iterations() * num_steps);  // layers
  state.counters["sent/least"] = static_cast<double>(sent) / static_cast<double>(least);
  state.counters["bytes/token"] =
      static_cast<double>(sent) / static_cast<double>(num_ranks * num_tokens * (first_step - 1));
  state.SetBytesProcessed(sent);
}
BENCHMARK(BM_MoeLayer)
    ->ArgNames({"transport", "ranks", "tokens"})
    ->ArgsProduct({{static_cast<int>(Transport::kThreads), static_cast<int>(Transport::kSharedMemory),
                    static_cast<int>(Transport::kTcp)},
                   {2, 4},
                   {1, 32}})
    ->UseRealTime();

}  // namespace
}  // namespace tessera
