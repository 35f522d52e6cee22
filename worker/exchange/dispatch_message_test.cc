#include "worker/exchange/dispatch_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "base/status_matchers.h"
#include "worker/exchange/wire_rows.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ExchangeConfig ConfigOf(DType wire) {
  return {.num_ranks = 2,
          .n_routed_experts = 6,
          .num_experts_per_tok = 2,
          .hidden_size = 3,
          .step_tokens_max = 4,
          .wire = wire};
}

// Two tokens: the first for slots 2 and 0, the second for slot 1.
std::vector<std::byte> Message(const ExchangeConfig& config) {
  const DispatchHeader header{.num_tokens = 2, .num_pairs = 3};
  std::vector<std::byte> message(static_cast<size_t>(DispatchMessageBytes(config, header)));
  const std::vector<float> rows = {1, -2, 0.5F, 3, 4, 1e30F};
  DispatchWriter writer(config, header, message.data());
  writer.BeginToken(rows.data());
  writer.AddPair(2);
  writer.AddPair(0);
  writer.BeginToken(rows.data() + 3);
  writer.AddPair(1);
  return message;
}

TEST(DispatchMessageTest, ComesBackAsWritten) {
  for (const DType wire : {DType::kF32, DType::kBF16}) {
    const ExchangeConfig config = ConfigOf(wire);
    const std::vector<std::byte> message = Message(config);
    EXPECT_EQ(message.size(), 8U + 2U * 3U * static_cast<size_t>(SizeOf(wire)) + 6U);
    const auto reader = DispatchReader::Parse(config, 4, message);
    ASSERT_THAT(reader, IsOk());
    ASSERT_EQ(reader->num_tokens(), 2);
    ASSERT_EQ(reader->num_pairs(), 3);
    std::vector<float> row(3);
    ReadRow(reader->row(0), 3, wire, row.data());
    EXPECT_EQ(row, (std::vector<float>{1, -2, 0.5F}));
    EXPECT_EQ(reader->slot(0), 2);
    EXPECT_EQ(reader->slot(1), 0);
    EXPECT_TRUE(reader->begins_token(0));
    EXPECT_FALSE(reader->begins_token(1));
    EXPECT_TRUE(reader->begins_token(2));
  }
}

TEST(DispatchMessageTest, NoTokenIsNoByte) {
  EXPECT_EQ(DispatchMessageBytes(ConfigOf(DType::kF32), {}), 0);
  const auto reader = DispatchReader::Parse(ConfigOf(DType::kF32), 4, {});
  ASSERT_THAT(reader, IsOk());
  EXPECT_EQ(reader->num_tokens(), 0);
}

TEST(DispatchMessageTest, RefusesWhatNoRankWrites) {
  const ExchangeConfig config = ConfigOf(DType::kF32);
  const std::vector<std::byte> good = Message(config);
  for (size_t size = 1; size < good.size(); ++size) {
    EXPECT_THAT(DispatchReader::Parse(config, 4, std::span(good).first(size)), Not(IsOk())) << size;
  }
  EXPECT_THAT(DispatchReader::Parse(config, 1, good),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("at most 1 tokens")));
  const auto changed = [&](size_t index, int value) {
    std::vector<std::byte> message = good;
    message[index] = static_cast<std::byte>(value);
    return DispatchReader::Parse(config, 4, message).status();
  };
  const size_t pairs = good.size() - 6;
  EXPECT_THAT(changed(0, 1), Not(IsOk()));     // tokens
  EXPECT_THAT(changed(4, 9), Not(IsOk()));     // pairs
  EXPECT_THAT(changed(7, 0x80), Not(IsOk()));  // a negative number of pairs
  EXPECT_THAT(changed(pairs, 3), StatusIs(absl::StatusCode::kInternal, HasSubstr("slot 3")));
  EXPECT_THAT(changed(pairs + 1, 0), Not(IsOk()));  // the first pair begins no token
  EXPECT_THAT(changed(pairs + 3, 0x80), StatusIs(absl::StatusCode::kInternal, HasSubstr("pairs of 3 tokens")));
  EXPECT_THAT(changed(pairs + 5, 0), Not(IsOk()));  // three pairs of one token
}

}  // namespace
}  // namespace tessera
