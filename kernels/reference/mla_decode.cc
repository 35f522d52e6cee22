#include <vector>

#include "kernels/reference/latent_row.h"
#include "kernels/reference/reference.h"
#include "kernels/reference/reference_matrix.h"
#include "kernels/reference/softmax.h"

namespace tessera::reference {

void AbsorbQuery(const AbsorbQueryArgs& args) {
  const int64_t query_size = args.query.dim(2);
  const int64_t absorbed_size = args.absorbed.dim(2);
  for (int64_t s = 0; s < args.query.dim(0); ++s) {
    for (int64_t h = 0; h < args.query.dim(1); ++h) {
      const ReferenceMatrix& w_uk = ReferenceMatrix::From(args.w_uk[static_cast<size_t>(h)]);
      const float* query = args.query.row(s) + h * query_size;
      float* absorbed = args.absorbed.row(s) + h * absorbed_size;
      for (int64_t i = 0; i < w_uk.rows(); ++i) absorbed[i] = w_uk.Dot(i, query);
      for (int64_t i = w_uk.cols(); i < query_size; ++i) absorbed[w_uk.rows() + i - w_uk.cols()] = query[i];
    }
  }
}

void MlaDecode(const MlaDecodeArgs& args) {
  const Precision precision = args.cache.dtype == DType::kBF16 ? Precision::kBF16 : Precision::kF32;
  const int64_t rank = args.cache.kv_lora_rank;
  for (int64_t s = 0; s < args.absorbed.dim(0); ++s) {
    std::vector<std::vector<float>> latents;
    for (int32_t t = 0; t < *args.num_tokens.row(s); ++t) {
      latents.push_back(LatentRow(args.cache, args.block_tables[static_cast<size_t>(s)], t));
    }
    for (int64_t h = 0; h < args.absorbed.dim(1); ++h) {
      const float* query = args.absorbed.row(s) + h * args.absorbed.dim(2);
      std::vector<float> scores;
      for (const std::vector<float>& latent : latents) {
        float sum = 0;
        for (size_t i = 0; i < latent.size(); ++i) sum += Operand(query[i], precision) * latent[i];
        scores.push_back(args.scale * sum);
      }
      Softmax(scores);
      for (int64_t i = 0; i < rank; ++i) {
        float sum = 0;
        for (size_t t = 0; t < scores.size(); ++t) sum += scores[t] * latents[t][static_cast<size_t>(i)];
        args.output.row(s)[h * rank + i] = sum;
      }
    }
  }
}

void ExpandOutput(const ExpandOutputArgs& args) {
  for (int64_t s = 0; s < args.output.dim(0); ++s) {
    for (int64_t h = 0; h < args.output.dim(1); ++h) {
      const ReferenceMatrix& w_uv = ReferenceMatrix::From(args.w_uv[static_cast<size_t>(h)]);
      const float* latent = args.latent_output.row(s) + h * w_uv.cols();
      for (int64_t i = 0; i < w_uv.rows(); ++i) args.output.row(s)[h * w_uv.rows() + i] = w_uv.Dot(i, latent);
    }
  }
}

}  // namespace tessera::reference
