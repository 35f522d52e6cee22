#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "worker/exchange/expert_exchange.h"

namespace tessera {

// What one rank sends to another in a dispatch: the tokens that the other's experts work on, each once.
//   header                    number of tokens, number of pairs
//   rows [tokens][D]          in the wire's type
//   pairs [pairs] of uint16   slot of the receiver; the highest bit is set on the first pair of each token
// A rank that sends no token sends no byte. Numbers are little-endian, as on every machine this runs on.
struct DispatchHeader {
  int32_t num_tokens = 0;
  int32_t num_pairs = 0;
};
inline constexpr uint16_t kFirstPairOfToken = 0x8000;

int64_t DispatchMessageBytes(const ExchangeConfig& config, const DispatchHeader& header);
// The largest message: all tokens, each for as many experts as possible.
int64_t DispatchMessageBytesMax(const ExchangeConfig& config);

// Writes a message of DispatchMessageBytes(header) bytes.
class DispatchWriter {
 public:
  DispatchWriter(const ExchangeConfig& config, const DispatchHeader& header, std::byte* message);
  void BeginToken(const float* row);
  void AddPair(int32_t slot);

 private:
  int64_t hidden_size_;
  DType wire_;
  std::byte* next_row_;
  std::byte* next_pair_;
  uint16_t first_ = 0;
};

// A message as it lies in memory; checked, so the accessors trust it.
class DispatchReader {
 public:
  // Refuses a message that is not one for a rank of this config, or that has more than `tokens_max` tokens.
  static absl::StatusOr<DispatchReader> Parse(const ExchangeConfig& config, int32_t tokens_max,
                                              std::span<const std::byte> message);

  int32_t num_tokens() const { return header_.num_tokens; }
  int32_t num_pairs() const { return header_.num_pairs; }
  const std::byte* row(int32_t token) const { return rows_ + token * row_bytes_; }
  int32_t slot(int32_t pair) const { return pair_bits(pair) & ~kFirstPairOfToken; }
  bool begins_token(int32_t pair) const { return (pair_bits(pair) & kFirstPairOfToken) != 0; }

 private:
  uint16_t pair_bits(int32_t pair) const;

  DispatchHeader header_;
  int64_t row_bytes_ = 0;
  const std::byte* rows_ = nullptr;
  const std::byte* pairs_ = nullptr;
};

}  // namespace tessera
