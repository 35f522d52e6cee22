#pragma once

#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "worker/exchange/dispatch_message.h"
#include "worker/exchange/expert_exchange.h"
#include "worker/exchange/fault.h"
#include "worker/exchange/pair_list.h"
#include "worker/exchange/rank_links.h"
#include "worker/exchange/segment.h"

namespace tessera {

// Dispatch and combine between ranks, whatever carries the messages. A rank's own tokens do not travel. Contributions
// come back in the order in which the sender named its pairs, so both ends know what each row is.
class LinkedExchange : public ExpertExchange {
 public:
  // `outboxes` has room for OutboxLayout(config). A call that takes longer than `timeout` breaks the group.
  // Requires: Validate(config) is Ok.
  LinkedExchange(const ExchangeConfig& config, int32_t rank, absl::Duration timeout, std::shared_ptr<Segment> outboxes);

  ~LinkedExchange() override;

  static Segment::Layout OutboxLayout(const ExchangeConfig& config);
  // Memory of one rank, its outboxes included.
  static int64_t Bytes(const ExchangeConfig& config);

  // Links to some of the other ranks. All are there before the first step; each rank is a peer of exactly one.
  void AddLinks(std::unique_ptr<RankLinks> links);

  const Fault& fault() const { return fault_; }

  int32_t rank() const override { return rank_; }
  absl::Status BeginStep(int64_t step, std::span<const int32_t> tokens_per_rank) override;
  absl::StatusOr<ReceivedTokens> Dispatch(Tensor<const float, 2> input, Tensor<const int32_t, 2> experts,
                                          const ExpertMap& map) override;
  absl::Status Combine(Tensor<float, 3> contributions) override;
  absl::Status AllGather(std::span<const int64_t> mine, std::span<int64_t> all) override;
  void Abort(const absl::Status& reason) override;
  const ExchangeCounters& counters() const override { return counters_; }

 private:
  void Choose(Tensor<const int32_t, 2> experts, const ExpertMap& map);
  void WriteTokens(Tensor<const float, 2> input);
  absl::Status ReadTokens(Tensor<const float, 2> input);
  void ReceiveOwn(Tensor<const float, 2> input);
  void ReceiveFrom(const DispatchReader& message);
  void WriteContributions();
  absl::Status Exchange(CallKind kind);
  // Ends the group with this reason, or an earlier one, and says where this rank was.
  absl::Status Break(const absl::Status& reason);
  absl::Status Described(const absl::Status& reason) const;

  const int32_t rank_;
  const size_t num_ranks_;
  const absl::Duration timeout_;
  const std::shared_ptr<Segment> outboxes_;

  CallPosition position_;                       // of the next call
  int64_t num_calls_ = 0;                       // ever
  std::vector<int32_t> tokens_per_rank_;        // [ranks]; of this step, upper bounds
  std::vector<ExpertMap::Slot> choices_;        // [T, k]; where each pair of this rank's tokens goes
  std::vector<int32_t> sent_index_;             // [T, k]; the how-manieth pair of its rank
  std::vector<DispatchHeader> sent_;            // [ranks]; what each rank got, this one included
  std::vector<int64_t> last_token_;             // [ranks]; scratch: the last token seen that goes there
  std::vector<DispatchWriter> writers_;         // [ranks]; scratch
  std::vector<int64_t> first_pair_;             // [ranks + 1]; of each sender, as added to pairs_
  std::vector<ByteRange> out_;                  // [ranks]
  std::vector<int64_t> in_bytes_;               // [ranks]
  std::vector<std::span<const std::byte>> in_;  // [ranks]
  PairList pairs_;
  std::vector<float> received_;  // [tokens, D]
  std::vector<float> output_;    // [pairs, D]
  ExchangeCounters counters_;

  Fault fault_;
  Mutex mutex_;  // AddLinks against Abort; the rank's thread alone changes links_
  std::vector<std::unique_ptr<RankLinks>> links_;
};

}  // namespace tessera
