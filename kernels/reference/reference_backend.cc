#include "kernels/reference/reference_backend.h"

#include "kernels/reference/reference.h"
#include "kernels/reference/reference_matrix.h"

namespace tessera::reference {
namespace {

template <typename Args>
absl::Status Run(void (*operation)(const Args&), const Args& args) {
  operation(args);
  return absl::OkStatus();
}

class ReferenceBackend final : public Backend {
 public:
  std::string_view name() const override { return "reference"; }
  absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(const MatrixView& matrix, Precision precision) override {
    return std::make_unique<ReferenceMatrix>(matrix, precision);
  }
  absl::Status Embedding(const EmbeddingArgs& args) override { return Run(reference::Embedding, args); }
  absl::Status RmsNorm(const RmsNormArgs& args) override { return Run(reference::RmsNorm, args); }
  absl::Status Gemm(const GemmArgs& args) override { return Run(reference::Gemm, args); }
  absl::Status Rope(const RopeArgs& args) override { return Run(reference::Rope, args); }
  absl::Status LatentWrite(const LatentWriteArgs& args) override { return Run(reference::LatentWrite, args); }
  absl::Status MlaPrefill(const MlaPrefillArgs& args) override { return Run(reference::MlaPrefill, args); }
  absl::Status AbsorbQuery(const AbsorbQueryArgs& args) override { return Run(reference::AbsorbQuery, args); }
  absl::Status MlaDecode(const MlaDecodeArgs& args) override { return Run(reference::MlaDecode, args); }
  absl::Status ExpandOutput(const ExpandOutputArgs& args) override { return Run(reference::ExpandOutput, args); }
  absl::Status Router(const RouterArgs& args) override { return Run(reference::Router, args); }
  absl::Status GatedMlp(const GatedMlpArgs& args) override { return Run(reference::GatedMlp, args); }
  absl::Status MoeExperts(const MoeExpertsArgs& args) override { return Run(reference::MoeExperts, args); }
  absl::Status Combine(const CombineArgs& args) override { return Run(reference::Combine, args); }
};

}  // namespace

std::unique_ptr<Backend> MakeBackend() { return std::make_unique<ReferenceBackend>(); }

}  // namespace tessera::reference
