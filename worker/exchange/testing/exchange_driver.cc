#include "worker/exchange/testing/exchange_driver.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <random>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "kernels/bfloat16.h"
#include "worker/exchange/in_process_exchange.h"
#include "worker/exchange/local_exchange.h"
#include "worker/exchange/testing/file_store.h"
#include "worker/exchange/testing/temporary_folder.h"

namespace tessera {
namespace {

float AsSent(float value, DType wire) { return wire == DType::kBF16 ? RoundToBFloat16(value) : value; }

}  // namespace

RoutedTokens MakeRoutedTokens(const ExchangeConfig& config, int32_t num_tokens, uint32_t seed, Routing routing) {
  std::mt19937 random(seed);
  RoutedTokens tokens{.num_tokens = num_tokens, .input = {}, .experts = {}};
  for (int64_t i = 0; i < int64_t{num_tokens} * config.hidden_size; ++i) {
    tokens.input.push_back(static_cast<float>(random()) / 1e9F - 2.0F);
  }
  std::vector<int32_t> order(static_cast<size_t>(config.n_routed_experts));
  std::iota(order.begin(), order.end(), 0);
  if (routing == Routing::kLastExperts) std::reverse(order.begin(), order.end());
  for (int32_t t = 0; t < num_tokens; ++t) {
    if (routing == Routing::kSpread) std::shuffle(order.begin(), order.end(), random);
    tokens.experts.insert(tokens.experts.end(), order.begin(), order.begin() + config.num_experts_per_tok);
  }
  return tokens;
}

absl::StatusOr<std::vector<float>> RunMoeLayer(ExpertExchange& exchange, const ExpertMap& map,
                                               const RoutedTokens& tokens) {
  const ExchangeConfig& config = exchange.config();
  const int64_t width = config.hidden_size;
  const int64_t per_token = config.num_experts_per_tok;
  TESSERA_ASSIGN_OR_RETURN(const ReceivedTokens received,
                           exchange.Dispatch({tokens.input.data(), {tokens.num_tokens, width}},
                                             {tokens.experts.data(), {tokens.num_tokens, per_token}}, map));
  const std::span<const int32_t> experts = map.experts_of(exchange.rank());
  for (size_t e = 0; e < experts.size(); ++e) {
    const auto factor = 1.0F + 0.37F * static_cast<float>(experts[e]);
    for (int32_t p = received.expert_begin[e]; p < received.expert_begin[e + 1]; ++p) {
      const float* token = received.input.row(received.pair_token[static_cast<size_t>(p)]);
      for (int64_t d = 0; d < width; ++d) received.output.row(p)[d] = factor * AsSent(token[d], config.wire);
    }
  }
  std::vector<float> contributions(static_cast<size_t>(tokens.num_tokens * per_token * width), -1.0F);
  TESSERA_RETURN_IF_ERROR(exchange.Combine({contributions.data(), {tokens.num_tokens, per_token, width}}));
  for (float& value : contributions) value = AsSent(value, config.wire);
  return contributions;
}

std::vector<float> RunMoeLayerAlone(const ExchangeConfig& config, const RoutedTokens& tokens) {
  ExchangeConfig alone = config;
  alone.num_ranks = 1;
  alone.num_slots = 0;
  const std::unique_ptr<ExpertExchange> exchange = MakeLocalExchange(alone);
  TESSERA_CHECK_OK(exchange->BeginStep(1, std::vector<int32_t>{tokens.num_tokens}));
  absl::StatusOr<std::vector<float>> contributions =
      RunMoeLayer(*exchange, ExpertMap::Even(config.n_routed_experts, 1), tokens);
  TESSERA_CHECK_OK(contributions.status());
  return *std::move(contributions);
}

std::string NameOf(Transport transport) {
  switch (transport) {
    case Transport::kThreads:
      return "Threads";
    case Transport::kSharedMemory:
      return "SharedMemory";
    case Transport::kTcp:
      return "Tcp";
    case Transport::kTwoHosts:
      return "TwoHosts";
  }
  TESSERA_CHECK(false);
}

ProcessExchangeOptions OptionsOf(Transport transport, int32_t rank, int32_t num_ranks, absl::Duration call_timeout) {
  return {.rank = rank,
          .call_timeout = call_timeout,
          .address = "127.0.0.1",
          .shared_memory = transport != Transport::kTcp,
          .host = transport != Transport::kTwoHosts ? ""
                  : 2 * rank < num_ranks            ? "first"
                                                    : "second"};
}

std::vector<std::unique_ptr<ExpertExchange>> ConnectGroup(const ExchangeConfig& config, Transport transport,
                                                          absl::Duration call_timeout) {
  if (transport == Transport::kThreads) return MakeInProcessExchanges(config, call_timeout);
  const TemporaryFolder folder;
  FileStore store(folder.path());
  std::vector<std::unique_ptr<ExpertExchange>> exchanges(static_cast<size_t>(config.num_ranks));
  std::vector<std::thread> threads;
  for (int32_t rank = 0; rank < config.num_ranks; ++rank) {
    threads.emplace_back([&, rank] {
      auto exchange = ProcessExchange::Create(config, OptionsOf(transport, rank, config.num_ranks, call_timeout));
      TESSERA_CHECK_OK(exchange.status());
      TESSERA_CHECK_OK((*exchange)->Connect(store));
      exchanges[static_cast<size_t>(rank)] = *std::move(exchange);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return exchanges;
}

void RunRanks(std::vector<std::unique_ptr<ExpertExchange>>& exchanges,
              const std::function<void(ExpertExchange&)>& body) {
  std::vector<std::thread> threads;
  for (auto& exchange : exchanges) threads.emplace_back([&] { body(*exchange); });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace tessera
