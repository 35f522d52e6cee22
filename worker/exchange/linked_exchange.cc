#include "worker/exchange/linked_exchange.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "worker/exchange/wire_rows.h"

namespace tessera {
namespace {

constexpr int64_t kMessageAlignment = 8;
int64_t Aligned(int64_t bytes) { return (bytes + kMessageAlignment - 1) / kMessageAlignment * kMessageAlignment; }

}  // namespace

LinkedExchange::LinkedExchange(const ExchangeConfig& config, int32_t rank, absl::Duration timeout,
                               std::shared_ptr<Segment> outboxes)
    : ExpertExchange(config),
      rank_(rank),
      num_ranks_(static_cast<size_t>(config.num_ranks)),
      timeout_(timeout),
      outboxes_(std::move(outboxes)),
      tokens_per_rank_(num_ranks_, 0),
      choices_(static_cast<size_t>(config.step_tokens_max) * static_cast<size_t>(config.num_experts_per_tok)),
      sent_index_(choices_.size()),
      sent_(num_ranks_),
      last_token_(num_ranks_),
      first_pair_(num_ranks_ + 1),
      out_(num_ranks_),
      in_bytes_(num_ranks_),
      in_(num_ranks_),
      pairs_(config),
      received_(static_cast<size_t>(config.received_tokens_max() * config.hidden_size)),
      output_(static_cast<size_t>(config.received_pairs_max() * config.hidden_size)) {
  writers_.reserve(num_ranks_);
}

LinkedExchange::~LinkedExchange() {
  // From here on a thread of the links that sees a peer leave finds that there was a reason before.
  fault_.Raise(absl::CancelledError("the exchange is shutting down"));
  std::vector<std::unique_ptr<RankLinks>> links;  // ended without the lock, which their threads may want
  {
    const MutexLock lock(mutex_);
    links.swap(links_);
  }
}

Segment::Layout LinkedExchange::OutboxLayout(const ExchangeConfig& config) {
  const int64_t tokens = config.step_tokens_max;
  const int64_t others = config.num_ranks - 1;
  const int64_t dispatch = tokens * std::min<int64_t>(config.num_experts_per_tok, others) * config.row_bytes() +
                           tokens * config.num_experts_per_tok * int64_t{sizeof(uint16_t)} +
                           others * Aligned(sizeof(DispatchHeader) + kMessageAlignment);
  const int64_t combine = others * (tokens * config.pairs_per_token_max() * config.row_bytes() + kMessageAlignment);
  return {.num_ranks = config.num_ranks, .outbox_bytes = {dispatch, combine}};
}

int64_t LinkedExchange::Bytes(const ExchangeConfig& config) {
  const Segment::Layout outboxes = OutboxLayout(config);
  const int64_t rows = config.received_tokens_max() + config.received_pairs_max();
  return rows * config.hidden_size * int64_t{sizeof(float)} +
         config.received_pairs_max() * 4 * int64_t{sizeof(int32_t)} + outboxes.outbox_bytes[0] +
         outboxes.outbox_bytes[1];
}

void LinkedExchange::AddLinks(std::unique_ptr<RankLinks> links) {
  const MutexLock lock(mutex_);
  links_.push_back(std::move(links));
  if (fault_.is_raised()) links_.back()->Abort(fault_.status());
}

absl::Status LinkedExchange::BeginStep(int64_t step, std::span<const int32_t> tokens_per_rank) {
  const bool is_between_calls = position_.kind == CallKind::kDispatch;
  position_ = {.step = step};
  if (tokens_per_rank.size() != num_ranks_) {
    return absl::FailedPreconditionError(absl::StrFormat("rank %d, step %d: plan for %d ranks, this group has %d",
                                                         rank_, step, tokens_per_rank.size(), num_ranks_));
  }
  if (!is_between_calls) return Break(absl::InternalError("a step begins before the last combine of the one before"));
  std::copy(tokens_per_rank.begin(), tokens_per_rank.end(), tokens_per_rank_.begin());
  return fault_.is_raised() ? Described(fault_.status()) : absl::OkStatus();
}

absl::StatusOr<ReceivedTokens> LinkedExchange::Dispatch(Tensor<const float, 2> input, Tensor<const int32_t, 2> experts,
                                                        const ExpertMap& map) {
  TESSERA_CHECK(map.num_ranks() == config().num_ranks && map.slots_per_rank() <= config().slots_per_rank());
  if (input.dim(0) > tokens_per_rank_[static_cast<size_t>(rank_)] || input.dim(0) != experts.dim(0) ||
      static_cast<size_t>(experts.size()) > choices_.size()) {
    return Break(absl::InternalError(absl::StrFormat("%d tokens dispatched, the plan has %d", input.dim(0),
                                                     tokens_per_rank_[static_cast<size_t>(rank_)])));
  }
  Choose(experts, map);
  WriteTokens(input);
  std::fill(in_bytes_.begin(), in_bytes_.end(), LinkCall::kUnknown);
  TESSERA_RETURN_IF_ERROR(Exchange(CallKind::kDispatch));
  if (absl::Status read = ReadTokens(input); !read.ok()) return Break(read);
  return ReceivedTokens{.input = {received_.data(), {pairs_.num_tokens(), config().hidden_size}},
                        .pair_token = pairs_.pair_token(),
                        .expert_begin = pairs_.expert_begin(),
                        .output = {output_.data(), {pairs_.num_pairs(), config().hidden_size}}};
}

// Where each pair goes, and how much each rank gets.
void LinkedExchange::Choose(Tensor<const int32_t, 2> experts, const ExpertMap& map) {
  std::fill(sent_.begin(), sent_.end(), DispatchHeader{});
  std::fill(last_token_.begin(), last_token_.end(), -1);
  size_t pair = 0;
  for (int64_t t = 0; t < experts.dim(0); ++t) {
    for (int64_t i = 0; i < experts.dim(1); ++i, ++pair) {
      const ExpertMap::Slot choice = map.Choose(experts.row(t)[i], rank_, t);
      const auto to = static_cast<size_t>(choice.rank);
      choices_[pair] = choice;
      sent_index_[pair] = sent_[to].num_pairs++;
      if (std::exchange(last_token_[to], t) != t) ++sent_[to].num_tokens;
    }
  }
  counters_.tokens += experts.dim(0);
}

void LinkedExchange::WriteTokens(Tensor<const float, 2> input) {
  std::byte* const outbox = outboxes_->outbox(CallKind::kDispatch).data();
  int64_t next = 0;
  writers_.clear();
  for (size_t to = 0; to < num_ranks_; ++to) {
    const bool is_other = static_cast<int32_t>(to) != rank_;
    out_[to] = {.begin = next, .size = is_other ? DispatchMessageBytes(config(), sent_[to]) : 0};
    writers_.emplace_back(config(), out_[to].size > 0 ? sent_[to] : DispatchHeader{}, outbox + next);
    next += Aligned(out_[to].size);
    if (is_other) counters_.rows_dispatched += sent_[to].num_tokens;
  }
  TESSERA_CHECK(next <= outboxes_->layout().outbox_bytes[0]);
  std::fill(last_token_.begin(), last_token_.end(), -1);
  const auto per_token = static_cast<size_t>(config().num_experts_per_tok);
  for (int64_t t = 0; t < input.dim(0); ++t) {
    for (size_t pair = static_cast<size_t>(t) * per_token; pair < static_cast<size_t>(t + 1) * per_token; ++pair) {
      const auto to = static_cast<size_t>(choices_[pair].rank);
      if (choices_[pair].rank == rank_) continue;
      if (std::exchange(last_token_[to], t) != t) writers_[to].BeginToken(input.row(t));
      writers_[to].AddPair(choices_[pair].index);
    }
  }
}

absl::Status LinkedExchange::ReadTokens(Tensor<const float, 2> input) {
  pairs_.Clear();
  for (size_t from = 0; from < num_ranks_; ++from) {
    first_pair_[from] = pairs_.num_pairs();
    if (static_cast<int32_t>(from) == rank_) {
      ReceiveOwn(input);
      continue;
    }
    const absl::StatusOr<DispatchReader> message = DispatchReader::Parse(config(), tokens_per_rank_[from], in_[from]);
    if (!message.ok()) {
      return absl::InternalError(
          absl::StrFormat("rank %d sent what it must not: %s", from, message.status().message()));
    }
    ReceiveFrom(*message);
  }
  first_pair_[num_ranks_] = pairs_.num_pairs();
  pairs_.Sort();
  return absl::OkStatus();
}

// They are not rounded to the wire's type: where that is BF16, products round their inputs to it themselves.
void LinkedExchange::ReceiveOwn(Tensor<const float, 2> input) {
  const auto width = static_cast<size_t>(config().hidden_size);
  const auto per_token = static_cast<size_t>(config().num_experts_per_tok);
  for (int64_t t = 0; t < input.dim(0); ++t) {
    bool is_here = false;
    for (size_t pair = static_cast<size_t>(t) * per_token; pair < static_cast<size_t>(t + 1) * per_token; ++pair) {
      if (choices_[pair].rank != rank_) continue;
      if (!std::exchange(is_here, true)) {
        std::copy_n(input.row(t), width, received_.data() + static_cast<size_t>(pairs_.num_tokens()) * width);
        pairs_.BeginToken();
      }
      pairs_.Add(choices_[pair].index);
    }
  }
}

void LinkedExchange::ReceiveFrom(const DispatchReader& message) {
  const int64_t width = config().hidden_size;
  for (int32_t token = 0; token < message.num_tokens(); ++token) {
    ReadRow(message.row(token), width, config().wire, received_.data() + (pairs_.num_tokens() + token) * width);
  }
  for (int32_t pair = 0; pair < message.num_pairs(); ++pair) {
    if (message.begins_token(pair)) pairs_.BeginToken();
    pairs_.Add(message.slot(pair));
  }
}

absl::Status LinkedExchange::Combine(Tensor<float, 3> contributions) {
  WriteContributions();
  TESSERA_RETURN_IF_ERROR(Exchange(CallKind::kCombine));
  const int64_t width = config().hidden_size;
  for (int64_t pair = 0; pair < contributions.dim(0) * contributions.dim(1); ++pair) {
    const int32_t from = choices_[static_cast<size_t>(pair)].rank;
    const int64_t index = sent_index_[static_cast<size_t>(pair)];
    float* const row = contributions.data() + pair * width;
    if (from == rank_) {
      std::copy_n(output_.data() + pairs_.row_of(first_pair_[static_cast<size_t>(rank_)] + index) * width, width, row);
    } else {
      ReadRow(in_[static_cast<size_t>(from)].data() + index * config().row_bytes(), width, config().wire, row);
    }
  }
  return absl::OkStatus();
}

void LinkedExchange::WriteContributions() {
  std::byte* const outbox = outboxes_->outbox(CallKind::kCombine).data();
  int64_t next = 0;
  for (size_t to = 0; to < num_ranks_; ++to) {
    const bool is_other = static_cast<int32_t>(to) != rank_;
    const int64_t count = is_other ? first_pair_[to + 1] - first_pair_[to] : 0;
    out_[to] = {.begin = next, .size = count * config().row_bytes()};
    in_bytes_[to] = is_other ? sent_[to].num_pairs * config().row_bytes() : 0;
    for (int64_t i = 0; i < count; ++i) {
      WriteRow(output_.data() + int64_t{pairs_.row_of(first_pair_[to] + i)} * config().hidden_size,
               config().hidden_size, config().wire, outbox + next + i * config().row_bytes());
    }
    next += Aligned(out_[to].size);
    counters_.rows_returned += count;
  }
  TESSERA_CHECK(next <= outboxes_->layout().outbox_bytes[1]);
}

absl::Status LinkedExchange::AllGather(std::span<const int64_t> mine, std::span<int64_t> all) {
  TESSERA_CHECK(all.size() == mine.size() * num_ranks_);
  std::copy(mine.begin(), mine.end(), all.begin() + static_cast<ptrdiff_t>(mine.size()) * rank_);
  const std::span<std::byte> outbox = outboxes_->outbox(CallKind::kDispatch);
  // Both fit every outbox and inbox: there is room for a token and more.
  const size_t chunk_max =
      std::min(outbox.size(), static_cast<size_t>(DispatchMessageBytesMax(config()))) / sizeof(int64_t);
  for (size_t begin = 0; begin < mine.size() && num_ranks_ > 1; begin += chunk_max) {
    const std::span<const int64_t> chunk = mine.subspan(begin, std::min(chunk_max, mine.size() - begin));
    std::memcpy(outbox.data(), chunk.data(), chunk.size_bytes());
    const auto bytes = static_cast<int64_t>(chunk.size_bytes());
    std::fill(out_.begin(), out_.end(), ByteRange{.begin = 0, .size = bytes});
    std::fill(in_bytes_.begin(), in_bytes_.end(), bytes);
    TESSERA_RETURN_IF_ERROR(Exchange(CallKind::kDispatch));
    for (size_t from = 0; from < num_ranks_; ++from) {
      if (static_cast<int32_t>(from) == rank_) continue;
      std::memcpy(all.data() + from * mine.size() + begin, in_[from].data(), chunk.size_bytes());
    }
    std::fill(out_.begin(), out_.end(), ByteRange{});  // calls alternate
    std::fill(in_bytes_.begin(), in_bytes_.end(), 0);
    TESSERA_RETURN_IF_ERROR(Exchange(CallKind::kCombine));
  }
  return absl::OkStatus();
}

absl::Status LinkedExchange::Exchange(CallKind kind) {
  TESSERA_CHECK(position_.kind == kind);  // dispatch and combine alternate
  if (fault_.is_raised()) return Described(fault_.status());
  const LinkCall call{.position = position_,
                      .index = ++num_calls_,
                      .out = out_,
                      .in_bytes = in_bytes_,
                      .deadline = absl::Now() + timeout_};
  for (const auto& links : links_) {
    if (absl::Status posted = links->Post(call); !posted.ok()) return Break(posted);
  }
  for (const auto& links : links_) {
    if (absl::Status collected = links->Collect(call, in_); !collected.ok()) return Break(collected);
  }
  ++position_.call;
  position_.kind = kind == CallKind::kDispatch ? CallKind::kCombine : CallKind::kDispatch;
  counters_.bytes_sent = 0;
  for (const auto& links : links_) counters_.bytes_sent += links->bytes_sent();
  counters_.bytes_least = (counters_.rows_dispatched + counters_.rows_returned) * config().row_bytes();
  return absl::OkStatus();
}

absl::Status LinkedExchange::Break(const absl::Status& reason) {
  const absl::Status described = Described(reason);
  Abort(described);
  const absl::Status first = fault_.status();
  return first == described ? described : Described(first);
}

absl::Status LinkedExchange::Described(const absl::Status& reason) const {
  return absl::Status(reason.code(), absl::StrFormat("rank %d, %s: %s", rank_, Describe(position_), reason.message()));
}

void LinkedExchange::Abort(const absl::Status& reason) {
  if (!fault_.Raise(reason)) return;
  const MutexLock lock(mutex_);
  for (const auto& links : links_) links->Abort(reason);
}

}  // namespace tessera
