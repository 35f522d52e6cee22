#include <algorithm>

#include "kernels/cpu/attention_block.h"
#include "kernels/cpu/operations.h"

namespace tessera::cpu {
namespace {

struct Shape {
  explicit Shape(const MlaPrefillArgs& args)
      : num_heads(args.query.dim(1)),
        rank(args.cache.kv_lora_rank),
        rope(args.cache.qk_rope_head_dim),
        nope(args.query.dim(2) - rope),
        value(args.output.dim(2)) {}

  int64_t num_heads, rank, rope, nope, value;
};

// Attention of one head for one slice: goes through the cached blocks in order, expanding each once for all rows.
class HeadPrefill {
 public:
  HeadPrefill(const MlaPrefillArgs& args, const PrefillSlice& slice, int64_t head, Context& context, Arena& scratch);

  void Run();

 private:
  void ExpandBlock(int64_t block, int64_t num_tokens);
  LeftOperand Latents(int64_t block, int64_t num_tokens);
  void AttendToBlock(int64_t block, int64_t num_tokens);
  // Whether a token's value that some rows must not see could reach them: 0 · ∞ is not 0.
  bool ValuesAreFinite(int64_t num_tokens) const;
  const void* CacheRow(int64_t block, int64_t token) const {
    return args_.cache.Row(slice_.block_table[static_cast<size_t>(block)] * kBlockTokens + token);
  }
  LeftOperand PrepareQueries();

  const MlaPrefillArgs& args_;
  const PrefillSlice& slice_;
  const Shape shape_;
  const int64_t head_;
  const Microkernels& kernels_;
  Arena& scratch_;
  const CpuMatrix& kv_b_;
  const bool bf16_;
  const int64_t first_panel_;       // of kv_b that holds this head's rows
  const int64_t expanded_columns_;  // of the panels that do, whole panels
  const int64_t key_stride_;        // values, padded to whole elements
  AttentionBlock block_;
  LeftOperand queries_;
  RunningSoftmax* states_;  // [rows]
  float* expanded_;         // [kBlockTokens][expanded_columns_]
  void* key_rows_;          // [kBlockTokens][key_stride_] BF16 or F32
  void* value_rows_;        // [kBlockTokens][value] BF16 or F32
  LeftOperand latents_;     // copies of a block's latents, if kv_b reads another type than the cache's
};

HeadPrefill::HeadPrefill(const MlaPrefillArgs& args, const PrefillSlice& slice, int64_t head, Context& context,
                         Arena& scratch)
    : args_(args),
      slice_(slice),
      shape_(args),
      head_(head),
      kernels_(context.kernels),
      scratch_(scratch),
      kv_b_(CpuMatrix::From(args.kv_b)),
      bf16_(kv_b_.format() != CpuMatrix::Format::kF32),
      first_panel_(head * (shape_.nope + shape_.value) / kernels_.panel_width),
      expanded_columns_(DivideRoundingUp((head + 1) * (shape_.nope + shape_.value), kernels_.panel_width) *
                            kernels_.panel_width -
                        first_panel_ * kernels_.panel_width),
      key_stride_(DivideRoundingUp(shape_.nope + shape_.rope, 2) * 2),
      block_(kernels_, bf16_, shape_.nope + shape_.rope, shape_.value, scratch),
      queries_(PrepareQueries()),
      states_(scratch.Take<RunningSoftmax>(slice.num_rows)),
      expanded_(scratch.Take<float>(kBlockTokens * expanded_columns_)),
      key_rows_(scratch.Take<float>(kBlockTokens * key_stride_)),
      value_rows_(scratch.Take<float>(kBlockTokens * shape_.value)),
      latents_(ReserveLeftOperand(kv_b_, kBlockTokens, scratch)) {}

LeftOperand HeadPrefill::PrepareQueries() {
  const int64_t head_size = shape_.nope + shape_.rope;
  const float* queries = args_.query.row(slice_.first_row) + head_ * head_size;
  const int64_t stride = shape_.num_heads * head_size;
  if (!bf16_) return {queries, stride * static_cast<int64_t>(sizeof(float))};
  auto* halves = scratch_.Take<uint16_t>(slice_.num_rows * key_stride_);
  for (int64_t r = 0; r < slice_.num_rows; ++r) {
    halves[(r + 1) * key_stride_ - 1] = 0;
    kernels_.to_bf16(queries + r * stride, head_size, halves + r * key_stride_);
  }
  return {halves, key_stride_ * static_cast<int64_t>(sizeof(uint16_t))};
}

LeftOperand HeadPrefill::Latents(int64_t block, int64_t num_tokens) {
  const LatentCacheView& cache = args_.cache;
  const bool as_it_lies = cache.dtype == DType::kBF16 ? kv_b_.reads_bf16() && shape_.rank % 2 == 0
                                                      : kv_b_.format() == CpuMatrix::Format::kF32;
  if (as_it_lies) return {CacheRow(block, 0), cache.row_values() * SizeOf(cache.dtype)};
  for (int64_t t = 0; t < num_tokens; ++t) {
    const auto* row = static_cast<const float*>(CacheRow(block, t));
    if (cache.dtype == DType::kBF16) {
      kernels_.from_bf16(static_cast<const uint16_t*>(CacheRow(block, t)), shape_.rank, expanded_);
      row = expanded_;
    }
    WriteColumns(kv_b_, kernels_, row, 0, shape_.rank, latents_, t);
  }
  return latents_;
}

// Fills key_rows_ and value_rows_.
void HeadPrefill::ExpandBlock(int64_t block, int64_t num_tokens) {
  const int64_t width = kernels_.panel_width;
  const LeftOperand latents = Latents(block, num_tokens);
  for (int64_t column = 0; column < expanded_columns_; column += width) {
    MultiplyPanel(kernels_, kv_b_, first_panel_ + column / width, latents, num_tokens,
                  {expanded_ + column, expanded_columns_, width}, scratch_);
  }
  const int64_t offset = head_ * (shape_.nope + shape_.value) - first_panel_ * width;
  for (int64_t t = 0; t < num_tokens; ++t) {
    const float* row = expanded_ + t * expanded_columns_ + offset;
    const void* cached = CacheRow(block, t);
    if (bf16_) {
      auto* key = static_cast<uint16_t*>(key_rows_) + t * key_stride_;
      key[key_stride_ - 1] = 0;
      kernels_.to_bf16(row, shape_.nope, key);
      if (args_.cache.dtype == DType::kBF16) {
        std::copy_n(static_cast<const uint16_t*>(cached) + shape_.rank, shape_.rope, key + shape_.nope);
      } else {
        kernels_.to_bf16(static_cast<const float*>(cached) + shape_.rank, shape_.rope, key + shape_.nope);
      }
      kernels_.to_bf16(row + shape_.nope, shape_.value, static_cast<uint16_t*>(value_rows_) + t * shape_.value);
      continue;
    }
    auto* key = static_cast<float*>(key_rows_) + t * key_stride_;
    std::copy_n(row, shape_.nope, key);
    if (args_.cache.dtype == DType::kBF16) {
      kernels_.from_bf16(static_cast<const uint16_t*>(cached) + shape_.rank, shape_.rope, key + shape_.nope);
    } else {
      std::copy_n(static_cast<const float*>(cached) + shape_.rank, shape_.rope, key + shape_.nope);
    }
    std::copy_n(row + shape_.nope, shape_.value, static_cast<float*>(value_rows_) + t * shape_.value);
  }
}

bool HeadPrefill::ValuesAreFinite(int64_t num_tokens) const {
  const int64_t count = num_tokens * shape_.value;
  bool finite = true;
  if (bf16_) {
    const auto* values = static_cast<const uint16_t*>(value_rows_);
    for (int64_t i = 0; i < count; ++i) finite &= (values[i] & 0x7F80) != 0x7F80;
  } else {
    const auto* values = static_cast<const float*>(value_rows_);
    for (int64_t i = 0; i < count; ++i) finite &= values[i] - values[i] == 0.0F;
  }
  return finite;
}

void HeadPrefill::AttendToBlock(int64_t block, int64_t num_tokens) {
  const int64_t element_bytes = bf16_ ? 2 : 4;
  const ElementRows values = {value_rows_, shape_.value * element_bytes};
  block_.PackKeys({key_rows_, key_stride_ * element_bytes}, num_tokens);
  const int64_t begin = std::max<int64_t>(0, block * kBlockTokens - slice_.first_position);
  AttentionBlock::Rows rows = {
      .queries = {queries_.Row(begin), queries_.stride_bytes},
      .num_rows = slice_.num_rows - begin,
      .first_visible = slice_.first_position + begin + 1 - block * kBlockTokens,
      .visible_step = 1,
      .states = states_ + begin,
      .output = args_.output.row(slice_.first_row + begin) + head_ * shape_.value,
      .output_stride = shape_.num_heads * shape_.value,
      .is_first_block = block == 0,
  };
  const bool all_see_all = rows.first_visible >= num_tokens;
  if (all_see_all || ValuesAreFinite(num_tokens)) {
    block_.PackValues(values, num_tokens);
    block_.Attend(rows, args_.scale);
    return;
  }
  const int64_t num_rows = rows.num_rows;
  rows.num_rows = 1;
  for (int64_t r = 0; r < num_rows; ++r) {  // each row with the values that it sees only
    block_.PackValues(values, std::min(rows.first_visible, num_tokens));
    if (rows.first_visible < num_tokens) block_.PackKeys({key_rows_, key_stride_ * element_bytes}, rows.first_visible);
    block_.Attend(rows, args_.scale);
    block_.PackKeys({key_rows_, key_stride_ * element_bytes}, num_tokens);
    rows.queries.data = rows.queries.Row(1);
    ++rows.first_visible;
    ++rows.states;
    rows.output += rows.output_stride;
  }
}

void HeadPrefill::Run() {
  const int64_t total = slice_.first_position + slice_.num_rows;
  for (int64_t block = 0; block * kBlockTokens < total; ++block) {
    const int64_t num_tokens = std::min<int64_t>(kBlockTokens, total - block * kBlockTokens);
    ExpandBlock(block, num_tokens);
    AttendToBlock(block, num_tokens);
  }
  for (int64_t r = 0; r < slice_.num_rows; ++r) {
    FinishRow(kernels_, states_[r], shape_.value, args_.output.row(slice_.first_row + r) + head_ * shape_.value);
  }
}

}  // namespace

void MlaPrefill(const MlaPrefillArgs& args, Context& context) {
  const int64_t num_heads = args.query.dim(1);
  context.Reset();
  context.pool.ParallelFor(static_cast<int64_t>(args.slices.size()) * num_heads, [&](int64_t item, int thread) {
    const PrefillSlice& slice = args.slices[static_cast<size_t>(item / num_heads)];
    if (slice.num_rows == 0) return;
    Arena& scratch = context.scratch_of(thread);
    scratch.Reset();
    HeadPrefill(args, slice, item % num_heads, context, scratch).Run();
  });
}

}  // namespace tessera::cpu
