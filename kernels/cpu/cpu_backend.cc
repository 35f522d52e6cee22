#include "kernels/cpu/cpu_backend.h"

#include <string>

#include "absl/strings/str_format.h"
#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu_matrix.h"
#include "kernels/cpu/operations.h"

namespace tessera::cpu {
namespace {

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const CpuOptions& options)
      : name_(absl::StrFormat("cpu (%s, %d threads)", Name(options.isa), options.num_threads)),
        context_(MicrokernelsFor(options.isa), {.num_threads = options.num_threads, .pin = options.pin}) {}

  std::string_view name() const override { return name_; }
  absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(const MatrixView& matrix, Precision precision) override {
    return std::make_unique<CpuMatrix>(matrix, precision, context_);
  }
  absl::Status Embedding(const EmbeddingArgs& args) override { return Run(cpu::Embedding, args); }
  absl::Status RmsNorm(const RmsNormArgs& args) override { return Run(cpu::RmsNorm, args); }
  absl::Status Gemm(const GemmArgs& args) override { return Run(cpu::Gemm, args); }
  absl::Status Rope(const RopeArgs& args) override { return Run(cpu::Rope, args); }
  absl::Status LatentWrite(const LatentWriteArgs& args) override { return Run(cpu::LatentWrite, args); }
  absl::Status MlaPrefill(const MlaPrefillArgs& args) override { return Run(cpu::MlaPrefill, args); }
  absl::Status AbsorbQuery(const AbsorbQueryArgs& args) override { return Run(cpu::AbsorbQuery, args); }
  absl::Status MlaDecode(const MlaDecodeArgs& args) override { return Run(cpu::MlaDecode, args); }
  absl::Status ExpandOutput(const ExpandOutputArgs& args) override { return Run(cpu::ExpandOutput, args); }
  absl::Status Router(const RouterArgs& args) override { return Run(cpu::Router, args); }
  absl::Status GatedMlp(const GatedMlpArgs& args) override { return Run(cpu::GatedMlp, args); }
  absl::Status MoeExperts(const MoeExpertsArgs& args) override { return Run(cpu::MoeExperts, args); }
  absl::Status Combine(const CombineArgs& args) override { return Run(cpu::Combine, args); }

 private:
  template <typename Args>
  absl::Status Run(void (*operation)(const Args&, Context&), const Args& args) {
    operation(args, context_);
    return absl::OkStatus();
  }

  std::string name_;
  Context context_;
};

}  // namespace

std::unique_ptr<Backend> MakeBackend(const CpuOptions& options) { return std::make_unique<CpuBackend>(options); }

}  // namespace tessera::cpu
