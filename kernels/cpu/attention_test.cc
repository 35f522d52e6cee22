// MlaPrefill, AbsorbQuery, MlaDecode and ExpandOutput.

#include <limits>
#include <span>

#include "kernels/cpu/forms.h"
#include "kernels/problems.h"
#include "kernels/reference/reference_backend.h"

namespace tessera::cpu {
namespace {

struct Shape {
  int64_t heads, nope, rope, value, rank;
};
constexpr Shape kShapes[] = {{3, 16, 8, 16, 32}, {2, 128, 64, 128, 512}, {5, 9, 2, 13, 31}, {1, 7, 0, 1, 1}};

float Tolerance(Precision precision) { return precision == Precision::kF32 ? 3e-5F : 1.5e-2F; }
DType CacheType(Precision precision) { return precision == Precision::kF32 ? DType::kF32 : DType::kBF16; }

class AttentionTest : public EveryFormTest {};
INSTANTIATE_TEST_SUITE_P(Forms, AttentionTest, kEveryForm, FormName);

// One sequence of `num_tokens` cached tokens, all of which are queries too.
struct PrefillProblem {
  PrefillProblem(const Shape& the_shape, int64_t the_num_tokens, Numbers& numbers, DType cache_type, DType kv_b_type)
      : shape(the_shape),
        num_tokens(the_num_tokens),
        cache(numbers, cache_type, num_tokens / 64 + 3, shape.rank, shape.rope),
        kv_b(OwnedMatrix::Random(numbers, kv_b_type, shape.heads * (shape.nope + shape.value), shape.rank)),
        query(numbers.Vector(num_tokens * shape.heads * (shape.nope + shape.rope))) {
    cache.TakeBlocks(1);
    blocks = cache.TakeBlocks(num_tokens);
  }

  // The outputs of rows begin … end − 1 as one slice; others are −7.
  std::vector<float> Run(Backend& backend, const PackedMatrix& weight, int64_t begin, int64_t end) const {
    std::vector<float> output(static_cast<size_t>(num_tokens * shape.heads * shape.value), -7.0F);
    const PrefillSlice slice = {
        .first_row = begin, .num_rows = end - begin, .first_position = begin, .block_table = blocks};
    const MlaPrefillArgs args = {.query = {query.data(), {num_tokens, shape.heads, shape.nope + shape.rope}},
                                 .cache = cache.view(),
                                 .slices = {&slice, 1},
                                 .kv_b = &weight,
                                 .scale = 0.3F,
                                 .output = {output.data(), {num_tokens, shape.heads, shape.value}}};
    TESSERA_CHECK_OK(Validate(args));
    TESSERA_CHECK_OK(backend.MlaPrefill(args));
    return output;
  }
  std::vector<float> RunWhole(Backend& backend, Precision precision) const {
    return Run(backend, *PackOrDie(backend, kv_b.view(), precision), 0, num_tokens);
  }

  Shape shape;
  int64_t num_tokens;
  OwnedCache cache;
  OwnedMatrix kv_b;
  std::vector<float> query;
  std::vector<int32_t> blocks;
};

TEST_P(AttentionTest, PrefillMatchesTheReferenceAtOddLengths) {
  Numbers numbers(1);
  const auto reference = reference::MakeBackend();
  const auto form = MakeForm();
  for (const Shape& shape : kShapes) {
    for (const int64_t num_tokens : {1, 63, 64, 65, 130}) {
      if (shape.rank == 512 && num_tokens != 65) continue;  // the reference is slow
      for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
        const PrefillProblem problem(shape, num_tokens, numbers, CacheType(precision), CacheType(precision));
        EXPECT_THAT(problem.RunWhole(*form, precision),
                    IsCloseTo(problem.RunWhole(*reference, precision), Tolerance(precision)))
            << shape.heads << " heads, " << num_tokens << " tokens, precision " << static_cast<int>(precision);
      }
    }
  }
}

TEST_P(AttentionTest, PrefillTakesAnyPairOfCacheAndWeightTypes) {
  Numbers numbers(2);
  const auto reference = reference::MakeBackend();
  const auto form = MakeForm();
  for (const DType cache_type : {DType::kF32, DType::kBF16}) {
    for (const DType weight_type : {DType::kF32, DType::kBF16, DType::kF8E4M3}) {
      for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
        for (const Shape& shape : {kShapes[0], kShapes[2]}) {
          const PrefillProblem problem(shape, 70, numbers, cache_type, weight_type);
          EXPECT_THAT(problem.RunWhole(*form, precision),
                      IsCloseTo(problem.RunWhole(*reference, precision), Tolerance(precision)))
              << static_cast<int>(cache_type) << static_cast<int>(weight_type) << static_cast<int>(precision);
        }
      }
    }
  }
}

TEST_P(AttentionTest, PrefillInChunksIsBitEqualToPrefillInOnePiece) {
  Numbers numbers(3);
  const auto form = MakeForm();
  for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
    const PrefillProblem problem(kShapes[0], 150, numbers, CacheType(precision), CacheType(precision));
    const auto weight = PackOrDie(*form, problem.kv_b.view(), precision);
    const std::vector<float> whole = problem.Run(*form, *weight, 0, 150);
    for (const int64_t chunk : {1, 7, 64, 100}) {
      std::vector<float> joined;
      for (int64_t begin = 0; begin < 150; begin += chunk) {
        const int64_t end = std::min<int64_t>(begin + chunk, 150);
        const std::vector<float> part = problem.Run(*form, *weight, begin, end);
        joined.insert(joined.end(), part.begin() + begin * 48, part.begin() + end * 48);
      }
      EXPECT_THAT(joined, IsBitEqualTo(whole)) << "chunks of " << chunk;
    }
  }
}

TEST_P(AttentionTest, PrefillNeitherReadsWhatFollowsInTheLastBlockNorLetsItReachEarlierTokens) {
  Numbers numbers(4);
  const auto form = MakeForm();
  for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
    PrefillProblem problem(kShapes[0], 100, numbers, CacheType(precision), CacheType(precision));
    const auto weight = PackOrDie(*form, problem.kv_b.view(), precision);
    const std::vector<float> clean = problem.Run(*form, *weight, 0, 100);
    const auto spoil = [&](int64_t token) {
      const int64_t slot = problem.blocks[static_cast<size_t>(token / 64)] * 64 + token % 64;
      for (int64_t i = 0; i < 40; ++i) problem.cache.Set(slot, i, std::numeric_limits<float>::quiet_NaN());
    };
    for (int64_t token = 100; token < 128; ++token) spoil(token);  // not written yet
    EXPECT_THAT(problem.Run(*form, *weight, 0, 100), IsBitEqualTo(clean));
    spoil(70);
    const std::vector<float> got = problem.Run(*form, *weight, 0, 100);
    for (size_t i = 0; i < got.size(); ++i) {
      if (i < 70 * 48) {
        ASSERT_EQ(got[i], clean[i]) << "token " << i / 48 << " saw a later one";
      } else {
        ASSERT_TRUE(std::isnan(got[i])) << "token " << i / 48 << " lost a NaN";
      }
    }
  }
}

TEST_P(AttentionTest, PrefillRunsSlicesOfSeveralSequencesAndLeavesOtherRowsAlone) {
  Numbers numbers(5);
  const auto form = MakeForm();
  const auto reference = reference::MakeBackend();
  OwnedCache cache(numbers, DType::kF32, 8, 32, 8);
  const OwnedMatrix kv_b = OwnedMatrix::Random(numbers, DType::kF32, 3 * 32, 32);
  const std::vector<int32_t> first = cache.TakeBlocks(80);
  const std::vector<int32_t> second = cache.TakeBlocks(200);
  const std::vector<float> query = numbers.Vector(30 * 3 * 24);
  const PrefillSlice slices[] = {{.first_row = 2, .num_rows = 10, .first_position = 70, .block_table = first},
                                 {.first_row = 12, .num_rows = 0, .first_position = 0, .block_table = {}},
                                 {.first_row = 13, .num_rows = 16, .first_position = 180, .block_table = second}};
  const auto run = [&](Backend& backend) {
    const auto weight = PackOrDie(backend, kv_b.view(), Precision::kF32);
    std::vector<float> output(30 * 3 * 16, -7.0F);
    const MlaPrefillArgs args = {.query = {query.data(), {30, 3, 24}},
                                 .cache = cache.view(),
                                 .slices = slices,
                                 .kv_b = weight.get(),
                                 .scale = 0.3F,
                                 .output = {output.data(), {30, 3, 16}}};
    TESSERA_CHECK_OK(Validate(args));
    TESSERA_CHECK_OK(backend.MlaPrefill(args));
    return output;
  };
  const std::vector<float> got = run(*form);
  EXPECT_THAT(got, IsCloseTo(run(*reference), 3e-5F));
  EXPECT_EQ(got[0], -7.0F);
  EXPECT_EQ(got[12 * 48], -7.0F);
  EXPECT_EQ(got.back(), -7.0F);
}

struct DecodeProblem {
  DecodeProblem(const Shape& the_shape, std::vector<int32_t> the_num_tokens, Numbers& numbers, DType cache_type)
      : shape(the_shape),
        num_tokens(std::move(the_num_tokens)),
        cache(numbers, cache_type, 100, shape.rank, shape.rope),
        absorbed(numbers.Vector(num_queries() * shape.heads * (shape.rank + shape.rope))) {
    for (const int32_t count : num_tokens) blocks.push_back(cache.TakeBlocks(count));
  }
  int64_t num_queries() const { return static_cast<int64_t>(num_tokens.size()); }

  // The outputs of queries begin … end − 1 in one call.
  std::vector<float> Run(Backend& backend, size_t begin, size_t end) const {
    const auto count = static_cast<int64_t>(end - begin);
    const int64_t query_values = shape.heads * (shape.rank + shape.rope);
    std::vector<std::span<const int32_t>> tables;
    for (size_t s = begin; s < end; ++s) tables.emplace_back(blocks[s]);
    std::vector<float> output(static_cast<size_t>(count * shape.heads * shape.rank), -7.0F);
    const MlaDecodeArgs args = {.absorbed = {absorbed.data() + static_cast<int64_t>(begin) * query_values,
                                             {count, shape.heads, shape.rank + shape.rope}},
                                .cache = cache.view(),
                                .block_tables = tables,
                                .num_tokens = {num_tokens.data() + begin, {count}},
                                .scale = 0.2F,
                                .output = {output.data(), {count, shape.heads, shape.rank}}};
    TESSERA_CHECK_OK(Validate(args));
    TESSERA_CHECK_OK(backend.MlaDecode(args));
    return output;
  }
  std::vector<float> RunAll(Backend& backend) const { return Run(backend, 0, num_tokens.size()); }

  Shape shape;
  std::vector<int32_t> num_tokens;
  OwnedCache cache;
  std::vector<float> absorbed;
  std::vector<std::vector<int32_t>> blocks;
};

TEST_P(AttentionTest, DecodeMatchesTheReferenceAtOddLengths) {
  Numbers numbers(6);
  const auto reference = reference::MakeBackend();
  const auto form = MakeForm();
  for (const Shape& shape : {kShapes[0], kShapes[2], kShapes[3], Shape{25, 8, 4, 8, 70}}) {
    for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
      const DecodeProblem problem(shape, {1, 63, 64, 65, 1024, 1025, 2100}, numbers, CacheType(precision));
      EXPECT_THAT(problem.RunAll(*form), IsCloseTo(problem.RunAll(*reference), Tolerance(precision)))
          << shape.heads << " heads, precision " << static_cast<int>(precision);
    }
  }
}

TEST_P(AttentionTest, DecodeOfAQueryIsBitEqualAloneInABatchAndOnAnyNumberOfThreads) {
  Numbers numbers(7);
  const auto form = MakeForm();
  const auto one = MakeForm(1);
  const auto five = MakeForm(5);
  for (const DType type : {DType::kF32, DType::kBF16}) {
    const DecodeProblem problem({30, 8, 8, 8, 24}, {1, 65, 1500, 7, 2049}, numbers, type);
    const std::vector<float> whole = problem.RunAll(*form);
    EXPECT_THAT(problem.RunAll(*one), IsBitEqualTo(whole));
    EXPECT_THAT(problem.RunAll(*five), IsBitEqualTo(whole));
    std::vector<float> joined;
    for (size_t s = 0; s < 5; ++s) {
      const std::vector<float> alone = problem.Run(*five, s, s + 1);
      joined.insert(joined.end(), alone.begin(), alone.end());
    }
    EXPECT_THAT(joined, IsBitEqualTo(whole));
  }
}

TEST_P(AttentionTest, DecodeKeepsANonFiniteQueryAndUnwrittenSlotsToThemselves) {
  Numbers numbers(8);
  const auto form = MakeForm();
  for (const DType type : {DType::kF32, DType::kBF16}) {
    DecodeProblem problem(kShapes[0], {70, 5, 100}, numbers, type);
    const std::vector<float> clean = problem.RunAll(*form);
    for (int64_t token = 5; token < 64; ++token) {
      for (int64_t i = 0; i < 40; ++i) {
        problem.cache.Set(problem.blocks[1][0] * 64 + token, i, std::numeric_limits<float>::quiet_NaN());
      }
    }
    EXPECT_THAT(problem.RunAll(*form), IsBitEqualTo(clean));
    problem.absorbed[3 * 40 + 2] = std::numeric_limits<float>::quiet_NaN();  // query 1, head 0
    std::vector<float> got = problem.RunAll(*form);
    std::vector<float> wanted = clean;
    for (size_t i = 3 * 32; i < 4 * 32; ++i) {
      EXPECT_TRUE(std::isnan(got[i]));
      got[i] = wanted[i] = 0;
    }
    EXPECT_THAT(got, IsBitEqualTo(wanted));
  }
}

struct HeadWeights {
  HeadWeights(Backend& backend, const std::vector<OwnedMatrix>& matrices, Precision precision) {
    for (const OwnedMatrix& matrix : matrices) {
      owned.push_back(PackOrDie(backend, matrix.view(), precision));
      pointers.push_back(owned.back().get());
    }
  }
  std::vector<std::unique_ptr<PackedMatrix>> owned;
  std::vector<const PackedMatrix*> pointers;
};

std::vector<float> RunAbsorb(Backend& backend, const Shape& shape, const std::vector<OwnedMatrix>& w_uk,
                             Precision precision, const std::vector<float>& query) {
  const HeadWeights weights(backend, w_uk, precision);
  const int64_t count = static_cast<int64_t>(query.size()) / (shape.heads * (shape.nope + shape.rope));
  std::vector<float> absorbed(static_cast<size_t>(count * shape.heads * (shape.rank + shape.rope)), -7.0F);
  const AbsorbQueryArgs args = {.query = {query.data(), {count, shape.heads, shape.nope + shape.rope}},
                                .w_uk = weights.pointers,
                                .absorbed = {absorbed.data(), {count, shape.heads, shape.rank + shape.rope}}};
  TESSERA_CHECK_OK(Validate(args));
  TESSERA_CHECK_OK(backend.AbsorbQuery(args));
  return absorbed;
}

std::vector<float> RunExpand(Backend& backend, const Shape& shape, const std::vector<OwnedMatrix>& w_uv,
                             Precision precision, const std::vector<float>& latent) {
  const HeadWeights weights(backend, w_uv, precision);
  const int64_t count = static_cast<int64_t>(latent.size()) / (shape.heads * shape.rank);
  std::vector<float> output(static_cast<size_t>(count * shape.heads * shape.value), -7.0F);
  const ExpandOutputArgs args = {.latent_output = {latent.data(), {count, shape.heads, shape.rank}},
                                 .w_uv = weights.pointers,
                                 .output = {output.data(), {count, shape.heads, shape.value}}};
  TESSERA_CHECK_OK(Validate(args));
  TESSERA_CHECK_OK(backend.ExpandOutput(args));
  return output;
}

TEST_P(AttentionTest, AbsorbAndExpandMatchTheReference) {
  Numbers numbers(9);
  const auto reference = reference::MakeBackend();
  const auto form = MakeForm();
  for (const Shape& shape : kShapes) {
    for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
      std::vector<OwnedMatrix> w_uk;
      std::vector<OwnedMatrix> w_uv;
      for (int64_t h = 0; h < shape.heads; ++h) {
        w_uk.push_back(OwnedMatrix::Random(numbers, CacheType(precision), shape.rank, shape.nope));
        w_uv.push_back(OwnedMatrix::Random(numbers, CacheType(precision), shape.value, shape.rank));
      }
      for (const int64_t count : {0, 1, 9}) {
        const std::vector<float> query = numbers.Vector(count * shape.heads * (shape.nope + shape.rope));
        EXPECT_THAT(RunAbsorb(*form, shape, w_uk, precision, query),
                    IsCloseTo(RunAbsorb(*reference, shape, w_uk, precision, query), 3e-5F));
        const std::vector<float> latent = numbers.Vector(count * shape.heads * shape.rank);
        EXPECT_THAT(RunExpand(*form, shape, w_uv, precision, latent),
                    IsCloseTo(RunExpand(*reference, shape, w_uv, precision, latent), 3e-5F));
      }
    }
  }
}

TEST_P(AttentionTest, TheAbsorbedFormEqualsTheExpandedForm) {
  Numbers numbers(10);
  const Shape shape = kShapes[0];
  const auto form = MakeForm();
  const PrefillProblem problem(shape, 90, numbers, DType::kF32, DType::kF32);
  std::vector<float> kv_b(static_cast<size_t>(shape.heads * 32 * 32));
  Dequantize(problem.kv_b.view(), kv_b.data());
  std::vector<float> w_uk_values(static_cast<size_t>(shape.heads * 32 * 16));
  std::vector<std::unique_ptr<PackedMatrix>> owned;
  std::vector<const PackedMatrix*> w_uk;
  std::vector<const PackedMatrix*> w_uv;
  for (int64_t h = 0; h < shape.heads; ++h) {
    float* transposed = w_uk_values.data() + h * 32 * 16;
    for (int64_t r = 0; r < 32; ++r) {
      for (int64_t n = 0; n < 16; ++n) transposed[r * 16 + n] = kv_b[static_cast<size_t>((h * 32 + n) * 32 + r)];
    }
    owned.push_back(PackOrDie(*form, {.data = transposed, .rows = 32, .cols = 16}, Precision::kF32));
    w_uk.push_back(owned.back().get());
    owned.push_back(PackOrDie(*form, problem.kv_b.view().Rows(h * 32 + 16, 16), Precision::kF32));
    w_uv.push_back(owned.back().get());
  }
  const std::vector<float> expanded = problem.RunWhole(*form, Precision::kF32);

  std::vector<int32_t> num_tokens;
  for (int32_t t = 1; t <= 90; ++t) num_tokens.push_back(t);
  const std::vector<std::span<const int32_t>> tables(90, problem.blocks);
  std::vector<float> absorbed(90 * 3 * 40);
  std::vector<float> latent(90 * 3 * 32);
  std::vector<float> output(90 * 3 * 16);
  ASSERT_TRUE(
      form->AbsorbQuery(
              {.query = {problem.query.data(), {90, 3, 24}}, .w_uk = w_uk, .absorbed = {absorbed.data(), {90, 3, 40}}})
          .ok());
  ASSERT_TRUE(form->MlaDecode({.absorbed = {absorbed.data(), {90, 3, 40}},
                               .cache = problem.cache.view(),
                               .block_tables = tables,
                               .num_tokens = {num_tokens.data(), {90}},
                               .scale = 0.3F,
                               .output = {latent.data(), {90, 3, 32}}})
                  .ok());
  ASSERT_TRUE(
      form->ExpandOutput(
              {.latent_output = {latent.data(), {90, 3, 32}}, .w_uv = w_uv, .output = {output.data(), {90, 3, 16}}})
          .ok());
  EXPECT_THAT(output, IsCloseTo(expanded, 3e-5F));
}

}  // namespace
}  // namespace tessera::cpu
