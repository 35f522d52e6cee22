#include "worker/exchange/dispatch_message.h"

#include <cstring>

#include "absl/strings/str_format.h"
#include "worker/exchange/wire_rows.h"

namespace tessera {
namespace {

int64_t BytesOf(const ExchangeConfig& config, int64_t num_tokens, int64_t num_pairs) {
  return int64_t{sizeof(DispatchHeader)} + num_tokens * config.row_bytes() + num_pairs * int64_t{sizeof(uint16_t)};
}

}  // namespace

int64_t DispatchMessageBytes(const ExchangeConfig& config, const DispatchHeader& header) {
  return header.num_tokens == 0 ? 0 : BytesOf(config, header.num_tokens, header.num_pairs);
}

int64_t DispatchMessageBytesMax(const ExchangeConfig& config) {
  return BytesOf(config, config.step_tokens_max, int64_t{config.step_tokens_max} * config.pairs_per_token_max());
}

DispatchWriter::DispatchWriter(const ExchangeConfig& config, const DispatchHeader& header, std::byte* message)
    : hidden_size_(config.hidden_size),
      wire_(config.wire),
      next_row_(message + sizeof(header)),
      next_pair_(next_row_ + header.num_tokens * config.row_bytes()) {
  if (header.num_tokens > 0) std::memcpy(message, &header, sizeof(header));
}

void DispatchWriter::BeginToken(const float* row) {
  WriteRow(row, hidden_size_, wire_, next_row_);
  next_row_ += hidden_size_ * SizeOf(wire_);
  first_ = kFirstPairOfToken;
}

void DispatchWriter::AddPair(int32_t slot) {
  const auto bits = static_cast<uint16_t>(slot | first_);
  std::memcpy(next_pair_, &bits, sizeof(bits));
  next_pair_ += sizeof(bits);
  first_ = 0;
}

absl::StatusOr<DispatchReader> DispatchReader::Parse(const ExchangeConfig& config, int32_t tokens_max,
                                                     std::span<const std::byte> message) {
  DispatchReader reader;
  if (message.empty()) return reader;
  DispatchHeader& header = reader.header_;
  if (message.size() < sizeof(header)) {
    return absl::InternalError(absl::StrFormat("dispatch message of %d bytes", message.size()));
  }
  std::memcpy(&header, message.data(), sizeof(header));
  const int64_t pairs_max = int64_t{header.num_tokens} * config.pairs_per_token_max();
  if (header.num_tokens < 1 || header.num_tokens > tokens_max || header.num_pairs < header.num_tokens ||
      header.num_pairs > pairs_max || static_cast<int64_t>(message.size()) != DispatchMessageBytes(config, header)) {
    return absl::InternalError(
        absl::StrFormat("dispatch message of %d bytes with %d tokens, %d pairs; the plan has at most %d tokens",
                        message.size(), header.num_tokens, header.num_pairs, tokens_max));
  }
  reader.row_bytes_ = config.row_bytes();
  reader.rows_ = message.data() + sizeof(header);
  reader.pairs_ = reader.rows_ + header.num_tokens * reader.row_bytes_;
  int32_t num_begun = 0;
  int32_t pairs_of_token = 0;
  for (int32_t pair = 0; pair < header.num_pairs; ++pair) {
    pairs_of_token = reader.begins_token(pair) ? 1 : pairs_of_token + 1;
    num_begun += reader.begins_token(pair) ? 1 : 0;
    if (num_begun == 0 || pairs_of_token > config.pairs_per_token_max() ||
        reader.slot(pair) >= config.slots_per_rank()) {
      return absl::InternalError(absl::StrFormat("dispatch message: pair %d is for slot %d; this rank has %d", pair,
                                                 reader.slot(pair), config.slots_per_rank()));
    }
  }
  if (num_begun != header.num_tokens) {
    return absl::InternalError(
        absl::StrFormat("dispatch message: pairs of %d tokens, rows of %d", num_begun, header.num_tokens));
  }
  return reader;
}

uint16_t DispatchReader::pair_bits(int32_t pair) const {
  uint16_t bits = 0;
  std::memcpy(&bits, pairs_ + pair * static_cast<int64_t>(sizeof(bits)), sizeof(bits));
  return bits;
}

}  // namespace tessera
