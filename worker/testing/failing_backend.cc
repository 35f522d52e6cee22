#include "worker/testing/failing_backend.h"

#include <utility>

namespace tessera {
namespace {

class FailingBackend final : public Backend {
 public:
  FailingBackend(std::unique_ptr<Backend> backend, int num_gemms)
      : backend_(std::move(backend)), gemms_left_(num_gemms) {}

  std::string_view name() const override { return "failing"; }
  absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(const MatrixView& matrix, Precision precision) override {
    return backend_->Pack(matrix, precision);
  }
  absl::Status Gemm(const GemmArgs& args) override {
    if (gemms_left_ == 0) return absl::InternalError("device lost");
    --gemms_left_;
    return backend_->Gemm(args);
  }
  absl::Status Embedding(const EmbeddingArgs& args) override { return backend_->Embedding(args); }
  absl::Status RmsNorm(const RmsNormArgs& args) override { return backend_->RmsNorm(args); }
  absl::Status Rope(const RopeArgs& args) override { return backend_->Rope(args); }
  absl::Status LatentWrite(const LatentWriteArgs& args) override { return backend_->LatentWrite(args); }
  absl::Status MlaPrefill(const MlaPrefillArgs& args) override { return backend_->MlaPrefill(args); }
  absl::Status AbsorbQuery(const AbsorbQueryArgs& args) override { return backend_->AbsorbQuery(args); }
  absl::Status MlaDecode(const MlaDecodeArgs& args) override { return backend_->MlaDecode(args); }
  absl::Status ExpandOutput(const ExpandOutputArgs& args) override { return backend_->ExpandOutput(args); }
  absl::Status Router(const RouterArgs& args) override { return backend_->Router(args); }
  absl::Status GatedMlp(const GatedMlpArgs& args) override { return backend_->GatedMlp(args); }
  absl::Status MoeExperts(const MoeExpertsArgs& args) override { return backend_->MoeExperts(args); }
  absl::Status Combine(const CombineArgs& args) override { return backend_->Combine(args); }

 private:
  std::unique_ptr<Backend> backend_;
  int gemms_left_;
};

}  // namespace

std::unique_ptr<Backend> MakeFailingBackend(std::unique_ptr<Backend> backend, int num_gemms) {
  return std::make_unique<FailingBackend>(std::move(backend), num_gemms);
}

}  // namespace tessera
