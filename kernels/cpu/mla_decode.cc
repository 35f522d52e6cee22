#include <algorithm>
#include <limits>

#include "kernels/cpu/attention_block.h"
#include "kernels/cpu/operations.h"

namespace tessera::cpu {
namespace {

// A context is cut here, whatever the batch and the number of threads, so that the sums come out the same.
constexpr int64_t kSplitTokens = 1024;
static_assert(kSplitTokens % kBlockTokens == 0);

// A part of one query's context.
struct Split {
  int64_t query;
  int64_t first_token;
  int64_t num_tokens;
  float* output;           // [H][R], not yet divided by the sums
  RunningSoftmax* states;  // [H]
};

class Decode {
 public:
  Decode(const MlaDecodeArgs& args, Context& context)
      : args_(args),
        context_(context),
        bf16_(args.cache.dtype == DType::kBF16),
        num_queries_(args.absorbed.dim(0)),
        num_heads_(args.absorbed.dim(1)),
        rank_(args.cache.kv_lora_rank),
        row_values_(args.cache.row_values()),
        padded_(DivideRoundingUp(row_values_, 2) * 2) {}

  void Run();

 private:
  void MakeSplits();
  LeftOperand PrepareQueries();
  void RunSplit(const Split& split, int64_t first_head, int64_t num_heads, LeftOperand queries, Arena& scratch);
  ElementRows LatentRows(const Split& split, int64_t first_token, int64_t num_tokens, uint16_t* copies) const;
  void Merge(int64_t query, int64_t head);

  const MlaDecodeArgs& args_;
  Context& context_;
  const bool bf16_;
  const int64_t num_queries_;
  const int64_t num_heads_;
  const int64_t rank_;
  const int64_t row_values_;
  const int64_t padded_;
  Split* splits_ = nullptr;         // by query, in the order of tokens
  int64_t* split_begin_ = nullptr;  // [queries + 1]
};

void Decode::MakeSplits() {
  Arena& workspace = context_.workspace;
  split_begin_ = workspace.Take<int64_t>(num_queries_ + 1);
  split_begin_[0] = 0;
  for (int64_t s = 0; s < num_queries_; ++s) {
    split_begin_[s + 1] = split_begin_[s] + DivideRoundingUp(*args_.num_tokens.row(s), kSplitTokens);
  }
  const int64_t num_splits = split_begin_[num_queries_];
  splits_ = workspace.Take<Split>(num_splits);
  auto* states = workspace.Take<RunningSoftmax>(num_splits * num_heads_);
  for (int64_t s = 0; s < num_queries_; ++s) {
    for (int64_t i = split_begin_[s]; i < split_begin_[s + 1]; ++i) {
      const int64_t first_token = (i - split_begin_[s]) * kSplitTokens;
      const bool is_first = first_token == 0;  // works in the output itself; Merge adds the others to it
      splits_[i] = {.query = s,
                    .first_token = first_token,
                    .num_tokens = std::min(kSplitTokens, *args_.num_tokens.row(s) - first_token),
                    .output = is_first ? args_.output.row(s) : workspace.Take<float>(num_heads_ * rank_),
                    .states = states + i * num_heads_};
    }
  }
}

LeftOperand Decode::PrepareQueries() {
  if (!bf16_) return {args_.absorbed.data(), row_values_ * static_cast<int64_t>(sizeof(float))};
  auto* halves = context_.workspace.Take<uint16_t>(num_queries_ * num_heads_ * padded_);
  for (int64_t i = 0; i < num_queries_ * num_heads_; ++i) {
    halves[(i + 1) * padded_ - 1] = 0;
    context_.kernels.to_bf16(args_.absorbed.data() + i * row_values_, row_values_, halves + i * padded_);
  }
  return {halves, padded_ * static_cast<int64_t>(sizeof(uint16_t))};
}

// The tokens of one block, where they lie in the cache; copies only if rows are no whole number of 32-bit elements.
ElementRows Decode::LatentRows(const Split& split, int64_t first_token, int64_t num_tokens, uint16_t* copies) const {
  const int64_t block =
      args_.block_tables[static_cast<size_t>(split.query)][static_cast<size_t>(first_token / kBlockTokens)];
  const void* rows = args_.cache.Row(block * kBlockTokens);
  if (!bf16_ || padded_ == row_values_) return {rows, row_values_ * SizeOf(args_.cache.dtype)};
  for (int64_t t = 0; t < num_tokens; ++t) {
    copies[(t + 1) * padded_ - 1] = 0;
    std::copy_n(static_cast<const uint16_t*>(rows) + t * row_values_, row_values_, copies + t * padded_);
  }
  return {copies, padded_ * static_cast<int64_t>(sizeof(uint16_t))};
}

void Decode::RunSplit(const Split& split, int64_t first_head, int64_t num_heads, LeftOperand queries, Arena& scratch) {
  AttentionBlock block(context_.kernels, bf16_, row_values_, rank_, scratch);
  auto* copies = scratch.Take<uint16_t>(padded_ == row_values_ ? 0 : kBlockTokens * padded_);
  const AttentionBlock::Rows rows = {
      .queries = {queries.Row(split.query * num_heads_ + first_head), queries.stride_bytes},
      .num_rows = num_heads,
      .states = split.states + first_head,
      .output = split.output + first_head * rank_,
      .output_stride = rank_,
  };
  for (int64_t done = 0; done < split.num_tokens; done += kBlockTokens) {
    const int64_t num_tokens = std::min<int64_t>(kBlockTokens, split.num_tokens - done);
    const ElementRows latents = LatentRows(split, split.first_token + done, num_tokens, copies);
    block.PackValues(latents, num_tokens);  // first: it reads memory in order, which brings the block into the cache
    block.PackKeys(latents, num_tokens);
    AttentionBlock::Rows some = rows;
    some.is_first_block = done == 0;
    block.Attend(some, args_.scale);
  }
}

// Adds the splits of one head up in their order, each scaled from its own maximum to the common one.
void Decode::Merge(int64_t query, int64_t head) {
  const Microkernels& kernels = context_.kernels;
  float* output = args_.output.row(query) + head * rank_;
  RunningSoftmax total = splits_[split_begin_[query]].states[head];
  for (int64_t i = split_begin_[query] + 1; i < split_begin_[query + 1]; ++i) {
    const RunningSoftmax& part = splits_[i].states[head];
    const float max = part.max > total.max ? part.max : total.max;
    const float old_factor = kernels.exponential(total.max - max);
    const float new_factor = kernels.exponential(part.max - max);
    kernels.scale(old_factor, rank_, output);
    kernels.add_scaled(splits_[i].output + head * rank_, new_factor, rank_, output);
    total = {max, total.sum * old_factor + part.sum * new_factor};
  }
  FinishRow(kernels, total, rank_, output);
}

void Decode::Run() {
  MakeSplits();
  const LeftOperand queries = PrepareQueries();
  const int64_t num_splits = split_begin_[num_queries_];
  // With fewer splits than threads the heads are divided too; each group then reads the latents for itself.
  const int64_t wanted_groups = DivideRoundingUp(2 * context_.pool.num_threads(), num_splits);
  constexpr int64_t kHeadsMin = 12;
  const int64_t num_groups =
      context_.pool.num_threads() == 1 ? 1 : std::clamp<int64_t>(num_heads_ / kHeadsMin, 1, wanted_groups);
  context_.pool.ParallelFor(num_splits * num_groups, [&](int64_t item, int thread) {
    const int64_t group = item % num_groups;
    const int64_t first_head = group * num_heads_ / num_groups;
    Arena& scratch = context_.scratch_of(thread);
    scratch.Reset();
    RunSplit(splits_[item / num_groups], first_head, (group + 1) * num_heads_ / num_groups - first_head, queries,
             scratch);
  });
  context_.pool.ParallelFor(num_queries_, [&](int64_t query, int) {
    for (int64_t head = 0; head < num_heads_; ++head) Merge(query, head);
  });
}

}  // namespace

void MlaDecode(const MlaDecodeArgs& args, Context& context) {
  if (args.absorbed.dim(0) == 0 || args.absorbed.dim(1) == 0) return;
  context.Reset();
  Decode(args, context).Run();
}

}  // namespace tessera::cpu
