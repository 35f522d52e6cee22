#pragma once

// For tests: the forms of the CPU backend that this machine can run.

#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "kernels/cpu/cpu_backend.h"

namespace tessera::cpu {

// A test of every form. Forms whose instructions this machine lacks are skipped.
class EveryFormTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > DetectIsa()) GTEST_SKIP() << "this CPU has no " << Name(GetParam());
  }
  static std::unique_ptr<Backend> MakeForm(int num_threads = 2) {
    return MakeBackend({.num_threads = num_threads, .isa = GetParam()});
  }
};

inline std::string FormName(const testing::TestParamInfo<Isa>& form) { return std::string(Name(form.param)); }
inline const auto kEveryForm = testing::Values(Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16);

}  // namespace tessera::cpu
