#include "worker/exchange/host_record.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "worker/exchange/shared_memory_links.h"

namespace tessera {
namespace {

constexpr int kVersion = 1;  // of messages between ranks

}  // namespace

std::string Encode(const HostRecord& record) {
  return absl::StrFormat("%s\n%s\n%d\n%d", record.format, record.host, record.process, record.segment);
}

absl::StatusOr<HostRecord> ParseHostRecord(std::string_view text) {
  const std::vector<std::string> lines = absl::StrSplit(absl::string_view(text.data(), text.size()), '\n');
  HostRecord record;
  if (lines.size() != 4 || !absl::SimpleAtoi(lines[2], &record.process) ||
      !absl::SimpleAtoi(lines[3], &record.segment)) {
    return absl::InvalidArgumentError(absl::StrFormat("exchange: no host record: '%s'", text));
  }
  record.format = lines[0];
  record.host = lines[1];
  return record;
}

std::string ExchangeFormat(const ExchangeConfig& config) {
  return absl::StrFormat(
      "version %d, %d ranks, %d experts in %d slots, %d a token, hidden_size %d, %d tokens a step, %s", kVersion,
      config.num_ranks, config.n_routed_experts, config.slots_per_rank() * config.num_ranks, config.num_experts_per_tok,
      config.hidden_size, config.step_tokens_max, config.wire == DType::kBF16 ? "BF16" : "F32");
}

std::string SharingHost() {
  std::string boot;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
  struct stat processes {};
  if (boot.empty() || ::stat("/proc/self/ns/pid", &processes) != 0) return "";
  if (!ProcessWatch::Open(::getpid()).ok()) return "";  // a kernel that cannot tell of a death
  return absl::StrFormat("%s/%d/%d", boot, processes.st_ino, ::geteuid());
}

}  // namespace tessera
