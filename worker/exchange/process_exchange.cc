#include "worker/exchange/process_exchange.h"

#include <unistd.h>

#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "worker/exchange/exchange_address.h"
#include "worker/exchange/gloo_links.h"
#include "worker/exchange/host_record.h"
#include "worker/exchange/linked_exchange.h"
#include "worker/exchange/shared_memory_links.h"

namespace tessera {
namespace {

std::string HostKey(int32_t rank) { return absl::StrFormat("exchange/host/%d", rank); }
std::string AddressKey(int32_t from, int32_t to) { return absl::StrFormat("exchange/address/%d/%d", from, to); }

std::string RankNames(const std::vector<int32_t>& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (size_t i = 0; i < ranks.size(); ++i) absl::StrAppend(&text, i == 0 ? "" : ", ", ranks[i]);
  return text;
}

class Exchange final : public ProcessExchange {
 public:
  Exchange(const ExchangeConfig& config, const ProcessExchangeOptions& options, std::string address, std::string host,
           std::shared_ptr<Segment> segment)
      : ProcessExchange(config),
        options_(options),
        address_(std::move(address)),
        host_(std::move(host)),
        segment_(std::move(segment)),
        linked_(config, options.rank, options.call_timeout, segment_) {}

  absl::Status Connect(RendezvousStore& store) override;
  std::string Describe() const override;

  int32_t rank() const override { return linked_.rank(); }
  absl::Status BeginStep(int64_t step, std::span<const int32_t> tokens_per_rank) override {
    return linked_.BeginStep(step, tokens_per_rank);
  }
  absl::StatusOr<ReceivedTokens> Dispatch(Tensor<const float, 2> input, Tensor<const int32_t, 2> experts,
                                          const ExpertMap& map) override {
    return linked_.Dispatch(input, experts, map);
  }
  absl::Status Combine(Tensor<float, 3> contributions) override { return linked_.Combine(contributions); }
  absl::Status AllGather(std::span<const int64_t> mine, std::span<int64_t> all) override {
    return linked_.AllGather(mine, all);
  }
  void Abort(const absl::Status& reason) override { linked_.Abort(reason); }
  const ExchangeCounters& counters() const override { return linked_.counters(); }

 private:
  absl::Status MeetHosts(RendezvousStore& store, std::vector<HostRecord>& hosts);
  absl::Status OpenNeighbours(const std::vector<HostRecord>& hosts);
  absl::Status ConnectOthers(RendezvousStore& store);

  const ProcessExchangeOptions options_;
  const std::string address_;
  const std::string host_;  // empty: shares no memory
  const std::shared_ptr<Segment> segment_;
  LinkedExchange linked_;
  std::vector<int32_t> neighbours_;  // ranks of this host
  std::vector<int32_t> others_;      // ranks of other hosts
};

absl::Status Exchange::Connect(RendezvousStore& store) {
  std::vector<HostRecord> hosts(static_cast<size_t>(config().num_ranks));
  TESSERA_RETURN_IF_ERROR(MeetHosts(store, hosts));
  for (int32_t other = 0; other < config().num_ranks; ++other) {
    if (other == rank()) continue;
    const bool is_here = !host_.empty() && hosts[static_cast<size_t>(other)].host == host_;
    (is_here ? neighbours_ : others_).push_back(other);
  }
  if (!neighbours_.empty()) TESSERA_RETURN_IF_ERROR(OpenNeighbours(hosts));
  if (!others_.empty()) TESSERA_RETURN_IF_ERROR(ConnectOthers(store));
  return linked_.fault().status();
}

absl::Status Exchange::MeetHosts(RendezvousStore& store, std::vector<HostRecord>& hosts) {
  const HostRecord mine{
      .format = ExchangeFormat(config()), .host = host_, .process = ::getpid(), .segment = segment_->file_descriptor()};
  TESSERA_RETURN_IF_ERROR(store.Set(HostKey(rank()), Encode(mine)));
  for (int32_t other = 0; other < config().num_ranks; ++other) {
    absl::StatusOr<std::string> text = store.Get(HostKey(other), options_.rendezvous_timeout);
    if (!text.ok()) {
      return absl::Status(text.status().code(), absl::StrFormat("rank %d waited for rank %d to begin the exchange: %s",
                                                                rank(), other, text.status().message()));
    }
    TESSERA_ASSIGN_OR_RETURN(hosts[static_cast<size_t>(other)], ParseHostRecord(*text));
    if (hosts[static_cast<size_t>(other)].format == mine.format) continue;
    return absl::FailedPreconditionError(absl::StrFormat("exchange: rank %d has '%s', rank %d has '%s'", other,
                                                         hosts[static_cast<size_t>(other)].format, rank(),
                                                         mine.format));
  }
  return absl::OkStatus();
}

absl::Status Exchange::OpenNeighbours(const std::vector<HostRecord>& hosts) {
  std::vector<Neighbour> neighbours;
  for (const int32_t other : neighbours_) {
    const HostRecord& host = hosts[static_cast<size_t>(other)];
    Neighbour neighbour{.rank = other, .segment = nullptr, .process = {}};
    TESSERA_ASSIGN_OR_RETURN(neighbour.segment, Segment::Open(host.process, host.segment, segment_->layout()));
    TESSERA_ASSIGN_OR_RETURN(neighbour.process, ProcessWatch::Open(host.process));
    neighbours.push_back(std::move(neighbour));
  }
  const bool has_core_each = std::thread::hardware_concurrency() > neighbours.size() + 1;
  linked_.AddLinks(MakeSharedMemoryLinks(rank(), segment_, std::move(neighbours), has_core_each, linked_.fault()));
  return absl::OkStatus();
}

absl::Status Exchange::ConnectOthers(RendezvousStore& store) {
  const int64_t contributions = int64_t{config().step_tokens_max} * config().num_experts_per_tok * config().row_bytes();
  const auto num_others = static_cast<int64_t>(others_.size());
  TESSERA_ASSIGN_OR_RETURN(
      std::unique_ptr<GlooLinks> made,
      GlooLinks::Listen(
          {.rank = rank(),
           .num_ranks = config().num_ranks,
           .peers = others_,
           .address = address_,
           .inbox_bytes = {num_others * (DispatchMessageBytesMax(config()) + 8), contributions + num_others * 8},
           .connect_timeout = options_.connect_timeout},
          segment_, linked_.fault(), [this](const absl::Status& reason) { linked_.Abort(reason); }));
  GlooLinks& links = *made;
  linked_.AddLinks(std::move(made));  // first, so that Abort ends what follows
  const std::vector<std::string> mine = links.addresses();
  for (const int32_t other : others_) {
    TESSERA_RETURN_IF_ERROR(store.Set(AddressKey(rank(), other), mine[static_cast<size_t>(other)]));
  }
  std::vector<std::string> theirs(mine.size());
  for (const int32_t other : others_) {
    TESSERA_ASSIGN_OR_RETURN(theirs[static_cast<size_t>(other)],
                             store.Get(AddressKey(other, rank()), options_.rendezvous_timeout));
  }
  return links.Connect(theirs);
}

std::string Exchange::Describe() const {
  std::string text;
  if (!neighbours_.empty()) absl::StrAppend(&text, RankNames(neighbours_), " by shared memory");
  if (!others_.empty()) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", RankNames(others_), " by TCP from ", address_);
  }
  return text.empty() ? "no other rank" : text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ProcessExchange>> ProcessExchange::Create(const ExchangeConfig& config,
                                                                         const ProcessExchangeOptions& options) {
  TESSERA_RETURN_IF_ERROR(Validate(config));
  if (options.rank < 0 || options.rank >= config.num_ranks) {
    return absl::InvalidArgumentError(
        absl::StrFormat("exchange: got rank %d, wanted 0 to %d", options.rank, config.num_ranks - 1));
  }
  TESSERA_ASSIGN_OR_RETURN(std::string address, FindExchangeAddress(options.address));
  std::string host;
  if (options.shared_memory) host = options.host.empty() ? SharingHost() : options.host;
  const Segment::Layout layout = LinkedExchange::OutboxLayout(config);
  TESSERA_ASSIGN_OR_RETURN(std::shared_ptr<Segment> segment,
                           host.empty() ? Segment::CreatePrivate(layout) : Segment::CreateShared(layout));
  return std::make_unique<Exchange>(config, options, std::move(address), std::move(host), std::move(segment));
}

int64_t ProcessExchange::Bytes(const ExchangeConfig& config) {
  const int64_t others = config.num_ranks - 1;
  return LinkedExchange::Bytes(config) + others * DispatchMessageBytesMax(config) +
         int64_t{config.step_tokens_max} * config.num_experts_per_tok * config.row_bytes();
}

}  // namespace tessera
