// Every refusal of every Validate: one field of a good call is spoiled at a time.

#include <functional>
#include <limits>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/backend.h"

namespace tessera {
namespace {

using testing::HasSubstr;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
float memory[4096];  // never read

// A weight of a shape and nothing else.
class ShapeOnly final : public PackedMatrix {
 public:
  ShapeOnly(int64_t rows, int64_t cols) : rows_(rows), cols_(cols) {}
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  int64_t bytes() const override { return 0; }

 private:
  int64_t rows_;
  int64_t cols_;
};

template <typename Args>
void ExpectRefused(const Args& good, const std::function<void(Args&)>& spoil, const char* message) {
  Args args = good;
  spoil(args);
  EXPECT_THAT(Validate(args), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
}

TEST(ValidateTest, Embedding) {
  static const int32_t tokens[] = {0, 4};
  const EmbeddingArgs good = {
      .tokens = {tokens, {2}}, .table = {.data = memory, .rows = 5, .cols = 3}, .output = {memory, {2, 3}}};
  const auto refused = [&](auto spoil, const char* message) { ExpectRefused<EmbeddingArgs>(good, spoil, message); };
  EXPECT_THAT(Validate(good), IsOk());
  refused([](auto& a) { a.table.data = nullptr; }, "table: got null");
  refused([](auto& a) { a.table.dtype = DType::kF8E4M3; }, "table.scale: got null");
  refused([](auto& a) { a.table.rows = 4; }, "token: got 4, wanted 0 to 3");
  refused([](auto& a) { a.table.cols = 4; }, "output columns: got 3, wanted 4");
  refused([](auto& a) { a.output = {memory, {1, 3}}; }, "output rows: got 1, wanted 2");
  refused([](auto& a) { a.output = {nullptr, {2, 3}}; }, "output: got null");
  refused([](auto& a) { a.tokens = {nullptr, {2}}; }, "tokens: got null");
  static const int32_t negative[] = {0, -1};
  refused([](auto& a) { a.tokens = {negative, {2}}; }, "token: got -1");
}

TEST(ValidateTest, RmsNorm) {
  const RmsNormArgs good = {.input = {memory, {2, 3}}, .weight = {memory, {3}}, .output = {memory, {2, 3}}};
  const auto refused = [&](auto spoil, const char* message) { ExpectRefused<RmsNormArgs>(good, spoil, message); };
  EXPECT_THAT(Validate(good), IsOk());
  refused([](auto& a) { a.input = {nullptr, {2, 3}}; }, "input: got null");
  refused([](auto& a) { a.weight = {nullptr, {3}}; }, "weight: got null");
  refused([](auto& a) { a.output = {nullptr, {2, 3}}; }, "output: got null");
  refused([](auto& a) { a.weight = {memory, {4}}; }, "weight size: got 4, wanted 3");
  refused([](auto& a) { a.output = {memory, {1, 3}}; }, "output rows: got 1, wanted 2");
  refused([](auto& a) { a.output = {memory, {2, 4}}; }, "output columns: got 4, wanted 3");
  refused([](auto& a) { a.epsilon = -1; }, "epsilon: got -1");
  refused([](auto& a) { a.epsilon = kNaN; }, "epsilon: got nan");
}

TEST(ValidateTest, Gemm) {
  static const ShapeOnly weight(5, 3);
  const GemmArgs good = {.input = {memory, {2, 3}}, .weight = &weight, .output = {memory, {2, 5}}};
  const auto refused = [&](auto spoil, const char* message) { ExpectRefused<GemmArgs>(good, spoil, message); };
  EXPECT_THAT(Validate(good), IsOk());
  refused([](auto& a) { a.weight = nullptr; }, "weight: got null");
  refused([](auto& a) { a.input = {nullptr, {2, 3}}; }, "input: got null");
  refused([](auto& a) { a.output = {nullptr, {2, 5}}; }, "output: got null");
  refused([](auto& a) { a.input = {memory, {2, 4}}; }, "input columns: got 4, wanted 3");
  refused([](auto& a) { a.output = {memory, {3, 5}}; }, "output rows: got 3, wanted 2");
  refused([](auto& a) { a.output = {memory, {2, 6}}; }, "output columns: got 6, wanted 5");
}

TEST(ValidateTest, GatedMlp) {
  static const ShapeOnly wide(5, 3);
  static const ShapeOnly tall(3, 5);
  static const ShapeOnly square(5, 5);
  const GatedMlpArgs good = {
      .input = {memory, {2, 3}}, .weights = {.gate = &wide, .up = &wide, .down = &tall}, .output = {memory, {2, 3}}};
  const auto refused = [&](auto spoil, const char* message) { ExpectRefused<GatedMlpArgs>(good, spoil, message); };
  EXPECT_THAT(Validate(good), IsOk());
  refused([](auto& a) { a.weights.gate = nullptr; }, "gate: got null");
  refused([](auto& a) { a.weights.up = nullptr; }, "up: got null");
  refused([](auto& a) { a.weights.down = nullptr; }, "down: got null");
  refused([](auto& a) { a.weights.gate = &square; }, "gate columns: got 5, wanted 3");
  refused([](auto& a) { a.weights.up = &tall; }, "up rows: got 3, wanted 5");
  refused([](auto& a) { a.weights.up = &square; }, "up columns: got 5, wanted 3");
  refused([](auto& a) { a.weights.down = &square; }, "down rows: got 5, wanted 3");
  static const ShapeOnly narrow(3, 4);
  refused([](auto& a) { a.weights.down = &narrow; }, "down columns: got 4, wanted 5");
  refused([](auto& a) { a.input = {nullptr, {2, 3}}; }, "input: got null");
  refused([](auto& a) { a.output = {nullptr, {2, 3}}; }, "output: got null");
  refused([](auto& a) { a.output = {memory, {1, 3}}; }, "output rows: got 1, wanted 2");
  refused([](auto& a) { a.output = {memory, {2, 4}}; }, "output columns: got 4, wanted 3");
}

TEST(ValidateTest, MoeExperts) {
  static const ShapeOnly wide(5, 3);
  static const ShapeOnly tall(3, 5);
  static const GatedMlpWeights experts[] = {{&wide, &wide, &tall}, {&wide, &wide, &tall}};
  static const int32_t pair_token[] = {0, 1, 1};
  static const int32_t expert_begin[] = {0, 1, 3};
  const MoeExpertsArgs good = {.input = {memory, {2, 3}},
                               .pair_token = pair_token,
                               .expert_begin = expert_begin,
                               .experts = experts,
                               .output = {memory, {3, 3}}};
  const auto refused = [&](auto spoil, const char* message) { ExpectRefused<MoeExpertsArgs>(good, spoil, message); };
  EXPECT_THAT(Validate(good), IsOk());
  refused([](auto& a) { a.input = {nullptr, {2, 3}}; }, "input: got null");
  refused([](auto& a) { a.output = {nullptr, {3, 3}}; }, "output: got null");
  refused([](auto& a) { a.output = {memory, {2, 3}}; }, "output rows: got 2, wanted 3");
  refused([](auto& a) { a.output = {memory, {3, 4}}; }, "output columns: got 4, wanted 3");
  refused([](auto& a) { a.input = {memory, {1, 3}}; }, "pair_token: got 1, wanted 0 to 0");
  refused([](auto& a) { a.experts = a.experts.first(1); }, "expert_begin size: got 3, wanted 2");
  static const int32_t late[] = {1, 1, 3};
  static const int32_t early_end[] = {0, 1, 2};
  static const int32_t descending[] = {0, 4, 3};
  static const GatedMlpWeights broken[] = {{&wide, &wide, &tall}, {&wide, nullptr, &tall}};
  refused([](auto& a) { a.expert_begin = late; }, "expert_begin[0]: got 1, wanted 0");
  refused([](auto& a) { a.expert_begin = early_end; }, "last of expert_begin: got 2, wanted 3");
  refused([](auto& a) { a.expert_begin = descending; }, "end of an expert's pairs: got 4");
  refused([](auto& a) { a.experts = broken; }, "up: got null");
}

TEST(ValidateTest, Combine) {
  const CombineArgs good = {
      .contributions = {memory, {2, 4, 3}}, .weights = {memory, {2, 4}}, .output = {memory, {2, 3}}};
  const auto refused = [&](auto spoil, const char* message) { ExpectRefused<CombineArgs>(good, spoil, message); };
  EXPECT_THAT(Validate(good), IsOk());
  refused([](auto& a) { a.contributions = {nullptr, {2, 4, 3}}; }, "contributions: got null");
  refused([](auto& a) { a.weights = {nullptr, {2, 4}}; }, "weights: got null");
  refused([](auto& a) { a.output = {nullptr, {2, 3}}; }, "output: got null");
  refused([](auto& a) { a.weights = {memory, {3, 4}}; }, "weights rows: got 3, wanted 2");
  refused([](auto& a) { a.weights = {memory, {2, 5}}; }, "weights columns: got 5, wanted 4");
  refused([](auto& a) { a.output = {memory, {3, 3}}; }, "output rows: got 3, wanted 2");
  refused([](auto& a) { a.output = {memory, {2, 4}}; }, "output columns: got 4, wanted 3");
  refused([](auto& a) { a.rounding = DType::kF16; }, "rounding: got another type");
}

TEST(ValidateTest, Router) {
  static int32_t experts[64];
  const RouterArgs good = {.logits = {memory, {2, 16}},
                           .bias = {memory, {16}},
                           .params = {.num_experts_per_tok = 4, .n_group = 4, .topk_group = 2},
                           .experts = {experts, {2, 4}},
                           .weights = {memory, {2, 4}}};
  const auto refused = [&](auto spoil, const char* message) { ExpectRefused<RouterArgs>(good, spoil, message); };
  EXPECT_THAT(Validate(good), IsOk());
  refused([](auto& a) { a.logits = {nullptr, {2, 16}}; }, "logits: got null");
  refused([](auto& a) { a.bias = {nullptr, {16}}; }, "bias: got null");
  refused([](auto& a) { a.experts = {nullptr, {2, 4}}; }, "experts: got null");
  refused([](auto& a) { a.weights = {nullptr, {2, 4}}; }, "weights: got null");
  refused([](auto& a) { a.bias = {memory, {15}}; }, "bias size: got 15, wanted 16");
  refused([](auto& a) { a.params.method = TopkMethod::kGreedy; }, "bias size: got 16, wanted 0");
  refused([](auto& a) { a.params.num_experts_per_tok = 0; }, "num_experts_per_tok: got 0, wanted 1 to 16");
  refused([](auto& a) { a.params.num_experts_per_tok = 17; }, "num_experts_per_tok: got 17");
  refused([](auto& a) { a.params.n_group = 0; }, "n_group: got 0");
  refused([](auto& a) { a.params.n_group = 3; }, "experts left over by n_group: got 1, wanted 0");
  refused([](auto& a) { a.params.topk_group = 5; }, "topk_group: got 5, wanted 1 to 4");
  refused([](auto& a) { a.params.num_experts_per_tok = 9; }, "experts that topk_group allows: got 8, wanted 9");
  refused([](auto& a) { a.params.n_group = 16, a.params.topk_group = 8; }, "experts in a group: got 1, wanted 2");
  refused([](auto& a) { a.experts = {experts, {3, 4}}; }, "experts rows: got 3, wanted 2");
  refused([](auto& a) { a.experts = {experts, {2, 5}}; }, "experts columns: got 5, wanted 4");
  refused([](auto& a) { a.weights = {memory, {3, 4}}; }, "weights rows: got 3, wanted 2");
  refused([](auto& a) { a.weights = {memory, {2, 5}}; }, "weights columns: got 5, wanted 4");
}

TEST(ValidateTest, Rope) {
  static const RopeFrequencies frequencies = MakeRopeFrequencies(4, 10000, true, nullptr);
  static const int32_t positions[] = {0, 7};
  const RopeArgs good = {.query = {memory, {2, 3, 6}}, .positions = {positions, {2}}, .frequencies = &frequencies};
  const auto refused = [&](auto spoil, const char* message) { ExpectRefused<RopeArgs>(good, spoil, message); };
  EXPECT_THAT(Validate(good), IsOk());
  refused([](auto& a) { a.query = {nullptr, {2, 3, 6}}; }, "query: got null");
  refused([](auto& a) { a.positions = {nullptr, {2}}; }, "positions: got null");
  refused([](auto& a) { a.frequencies = nullptr; }, "frequencies: got null");
  refused([](auto& a) { a.positions = {positions, {1}}; }, "positions size: got 1, wanted 2");
  refused([](auto& a) { a.query = {memory, {2, 3, 3}}; }, "query columns: got 3, wanted 4");
  static const int32_t negative[] = {0, -1};
  refused([](auto& a) { a.positions = {negative, {2}}; }, "position: got -1");
}

constexpr LatentCacheView kCache = {
    .data = memory, .dtype = DType::kF32, .num_blocks = 2, .kv_lora_rank = 5, .qk_rope_head_dim = 4};

// The refusals that all users of a cache share.
template <typename Args>
void ExpectBadCachesRefused(const Args& good) {
  ExpectRefused<Args>(
      good, [](auto& a) { a.cache.data = nullptr; }, "cache: got null");
  ExpectRefused<Args>(
      good, [](auto& a) { a.cache.dtype = DType::kF16; }, "cache.dtype: got another type");
  ExpectRefused<Args>(
      good, [](auto& a) { a.cache.num_blocks = -1; }, "cache.num_blocks: got -1");
  ExpectRefused<Args>(
      good, [](auto& a) { a.cache.kv_lora_rank = 0; }, "cache.kv_lora_rank: got 0");
  ExpectRefused<Args>(
      good, [](auto& a) { a.cache.qk_rope_head_dim = -1; }, "cache.qk_rope_head_dim: got -1");
}

TEST(ValidateTest, LatentWrite) {
  static const RopeFrequencies frequencies = MakeRopeFrequencies(4, 10000, true, nullptr);
  static const int32_t positions[] = {0, 7};
  static const int64_t slots[] = {127, 0};
  const LatentWriteArgs good = {.compressed = {memory, {2, 9}},
                                .norm_weight = {memory, {5}},
                                .positions = {positions, {2}},
                                .slots = {slots, {2}},
                                .frequencies = &frequencies,
                                .cache = kCache};
  const auto refused = [&](auto spoil, const char* message) { ExpectRefused<LatentWriteArgs>(good, spoil, message); };
  EXPECT_THAT(Validate(good), IsOk());
  ExpectBadCachesRefused(good);
  refused([](auto& a) { a.compressed = {nullptr, {2, 9}}; }, "compressed: got null");
  refused([](auto& a) { a.norm_weight = {nullptr, {5}}; }, "norm_weight: got null");
  refused([](auto& a) { a.positions = {nullptr, {2}}; }, "positions: got null");
  refused([](auto& a) { a.slots = {nullptr, {2}}; }, "slots: got null");
  refused([](auto& a) { a.frequencies = nullptr; }, "frequencies: got null");
  refused([](auto& a) { a.compressed = {memory, {2, 8}}; }, "compressed columns: got 8, wanted 9");
  refused([](auto& a) { a.norm_weight = {memory, {4}}; }, "norm_weight size: got 4, wanted 5");
  static const RopeFrequencies two = MakeRopeFrequencies(2, 10000, true, nullptr);
  refused([](auto& a) { a.frequencies = &two; }, "2 · frequencies: got 2, wanted 4");
  refused([](auto& a) { a.positions = {positions, {1}}; }, "positions size: got 1, wanted 2");
  refused([](auto& a) { a.slots = {slots, {1}}; }, "slots size: got 1, wanted 2");
  refused([](auto& a) { a.epsilon = kNaN; }, "epsilon: got nan");
  static const int32_t negative[] = {0, -1};
  refused([](auto& a) { a.positions = {negative, {2}}; }, "position: got -1");
  refused([](auto& a) { a.cache.num_blocks = 1; }, "slot: got 127, wanted 0 to 63");
  static const int64_t twice[] = {3, 3};
  refused([](auto& a) { a.slots = {twice, {2}}; }, "slots: got 3 twice");
}

TEST(ValidateTest, MlaPrefill) {
  static const ShapeOnly kv_b(2 * (3 + 6), 5);
  static const int32_t blocks[] = {1, 0};
  static const PrefillSlice slices[] = {{.first_row = 1, .num_rows = 2, .first_position = 63, .block_table = blocks}};
  const MlaPrefillArgs good = {.query = {memory, {3, 2, 7}},
                               .cache = kCache,
                               .slices = slices,
                               .kv_b = &kv_b,
                               .scale = 1,
                               .output = {memory, {3, 2, 6}}};
  const auto refused = [&](auto spoil, const char* message) { ExpectRefused<MlaPrefillArgs>(good, spoil, message); };
  EXPECT_THAT(Validate(good), IsOk());
  ExpectBadCachesRefused(good);
  refused([](auto& a) { a.query = {nullptr, {3, 2, 7}}; }, "query: got null");
  refused([](auto& a) { a.output = {nullptr, {3, 2, 6}}; }, "output: got null");
  refused([](auto& a) { a.kv_b = nullptr; }, "kv_b: got null");
  refused([](auto& a) { a.query = {memory, {3, 2, 4}}; }, "query columns: got 4, wanted 5");
  refused([](auto& a) { a.output = {memory, {2, 2, 6}}; }, "output rows: got 2, wanted 3");
  refused([](auto& a) { a.output = {memory, {3, 1, 6}}; }, "output heads: got 1, wanted 2");
  refused([](auto& a) { a.output = {memory, {3, 2, 5}}; }, "kv_b rows: got 18, wanted 16");
  refused([](auto& a) { a.cache.kv_lora_rank = 6; }, "kv_b columns: got 5, wanted 6");
  const auto slice_refused = [&](auto spoil, const char* message) {
    PrefillSlice slice = slices[0];
    spoil(slice);
    refused([&](auto& a) { a.slices = {&slice, 1}; }, message);
  };
  slice_refused([](auto& s) { s.num_rows = -1; }, "slice.num_rows: got -1");
  slice_refused([](auto& s) { s.num_rows = 4; }, "slice.num_rows: got 4");
  slice_refused([](auto& s) { s.first_row = 2; }, "slice.first_row: got 2, wanted 0 to 1");
  slice_refused([](auto& s) { s.first_position = -1; }, "slice.first_position: got -1");
  slice_refused([](auto& s) { s.first_position = 127; }, "blocks in a block table: got 2, wanted 3");
  static const int32_t bad_block[] = {1, 2};
  slice_refused([](auto& s) { s.block_table = bad_block; }, "block: got 2, wanted 0 to 1");
}

TEST(ValidateTest, AbsorbQueryAndExpandOutput) {
  static const ShapeOnly w_uk(5, 3);
  static const ShapeOnly other(4, 3);
  static const PackedMatrix* const heads[] = {&w_uk, &w_uk};
  static const PackedMatrix* const missing[] = {&w_uk, nullptr};
  static const PackedMatrix* const mixed[] = {&w_uk, &other};
  const AbsorbQueryArgs absorb = {.query = {memory, {2, 2, 7}}, .w_uk = heads, .absorbed = {memory, {2, 2, 9}}};
  const auto refused = [&](auto spoil, const char* message) { ExpectRefused<AbsorbQueryArgs>(absorb, spoil, message); };
  EXPECT_THAT(Validate(absorb), IsOk());
  refused([](auto& a) { a.query = {nullptr, {2, 2, 7}}; }, "query: got null");
  refused([](auto& a) { a.absorbed = {nullptr, {2, 2, 9}}; }, "absorbed: got null");
  refused([](auto& a) { a.absorbed = {memory, {1, 2, 9}}; }, "absorbed rows: got 1, wanted 2");
  refused([](auto& a) { a.absorbed = {memory, {2, 1, 9}}; }, "absorbed heads: got 1, wanted 2");
  refused([](auto& a) { a.absorbed = {memory, {2, 2, 8}}; }, "absorbed columns: got 8, wanted 9");
  refused([](auto& a) { a.query = {memory, {2, 2, 2}}; }, "query columns: got 2, wanted 3");
  refused([](auto& a) { a.w_uk = {}; }, "w_uk: got null");
  refused([](auto& a) { a.w_uk = a.w_uk.first(1); }, "matrices: got 1, wanted 2");
  refused([](auto& a) { a.w_uk = missing; }, "matrix of a head: got null");
  refused([](auto& a) { a.w_uk = mixed; }, "rows of a head's matrix: got 4, wanted 5");

  const ExpandOutputArgs expand = {.latent_output = {memory, {2, 2, 3}}, .w_uv = heads, .output = {memory, {2, 2, 5}}};
  const auto refuse = [&](auto spoil, const char* message) { ExpectRefused<ExpandOutputArgs>(expand, spoil, message); };
  EXPECT_THAT(Validate(expand), IsOk());
  refuse([](auto& a) { a.latent_output = {nullptr, {2, 2, 3}}; }, "latent_output: got null");
  refuse([](auto& a) { a.output = {nullptr, {2, 2, 5}}; }, "output: got null");
  refuse([](auto& a) { a.output = {memory, {1, 2, 5}}; }, "output rows: got 1, wanted 2");
  refuse([](auto& a) { a.output = {memory, {2, 1, 5}}; }, "output heads: got 1, wanted 2");
  refuse([](auto& a) { a.output = {memory, {2, 2, 4}}; }, "rows of a head's matrix: got 5, wanted 4");
  refuse([](auto& a) { a.latent_output = {memory, {2, 2, 4}}; }, "columns of a head's matrix: got 3, wanted 4");
}

TEST(ValidateTest, MlaDecode) {
  static const int32_t blocks[] = {1, 0};
  static const std::span<const int32_t> tables[] = {blocks, blocks};
  static const int32_t num_tokens[] = {1, 128};
  const MlaDecodeArgs good = {.absorbed = {memory, {2, 3, 9}},
                              .cache = kCache,
                              .block_tables = tables,
                              .num_tokens = {num_tokens, {2}},
                              .scale = 1,
                              .output = {memory, {2, 3, 5}}};
  const auto refused = [&](auto spoil, const char* message) { ExpectRefused<MlaDecodeArgs>(good, spoil, message); };
  EXPECT_THAT(Validate(good), IsOk());
  ExpectBadCachesRefused(good);
  refused([](auto& a) { a.absorbed = {nullptr, {2, 3, 9}}; }, "absorbed: got null");
  refused([](auto& a) { a.num_tokens = {nullptr, {2}}; }, "num_tokens: got null");
  refused([](auto& a) { a.output = {nullptr, {2, 3, 5}}; }, "output: got null");
  refused([](auto& a) { a.absorbed = {memory, {2, 3, 8}}; }, "absorbed columns: got 8, wanted 9");
  refused([](auto& a) { a.output = {memory, {1, 3, 5}}; }, "output rows: got 1, wanted 2");
  refused([](auto& a) { a.output = {memory, {2, 2, 5}}; }, "output heads: got 2, wanted 3");
  refused([](auto& a) { a.output = {memory, {2, 3, 6}}; }, "output columns: got 6, wanted 5");
  refused([](auto& a) { a.block_tables = a.block_tables.first(1); }, "block tables: got 1, wanted 2");
  refused([](auto& a) { a.num_tokens = {num_tokens, {1}}; }, "num_tokens size: got 1, wanted 2");
  static const int32_t none[] = {1, 0};
  static const int32_t many[] = {1, 129};
  refused([](auto& a) { a.num_tokens = {none, {2}}; }, "num_tokens: got 0");
  refused([](auto& a) { a.num_tokens = {many, {2}}; }, "blocks in a block table: got 2, wanted 3");
  refused([](auto& a) { a.cache.num_blocks = 1; }, "block: got 1, wanted 0 to 0");
}

}  // namespace
}  // namespace tessera
