#include "server/metrics/access_log.h"

#include <spdlog/logger.h>

#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tessera {
namespace {

constexpr size_t kValueBytesMax = 256;

// A client's text as one word that can forge neither a field nor a line.
std::string Word(std::string_view text) {
  if (text.empty()) return "-";
  std::string word(text.substr(0, kValueBytesMax));
  for (char& c : word) {
    if (c <= ' ' || c > '~' || c == '"' || c == '=' || c == '\\') c = '?';
  }
  return word;
}

std::string Milliseconds(absl::Time from, absl::Time to) {
  if (from == absl::InfinitePast() || to == absl::InfinitePast()) return "-";
  return absl::StrFormat("%.1f", absl::ToDoubleMilliseconds(to - from));
}

}  // namespace

AccessRecord::AccessRecord(std::shared_ptr<spdlog::logger> to, const Clock& of)
    : logger_(std::move(to)), clock_(of), arrival_(of.Now()) {}

AccessRecord::~AccessRecord() {
  const spdlog::level::level_enum level = is_probe ? spdlog::level::debug : spdlog::level::info;
  if (logger_ == nullptr || !logger_->should_log(level)) return;
  std::string line =
      absl::StrFormat("request id=%s client=%s method=%s route=%s status=%s total_ms=%s", Word(id), Word(client),
                      Word(method), Word(route), Word(status), Milliseconds(arrival_, clock_.Now()));
  if (summary.has_value()) {
    absl::StrAppendFormat(&line, " end=%s prompt_tokens=%d completion_tokens=%d queue_ms=%s ttft_ms=%s",
                          ToString(summary->end), summary->num_prompt_tokens, summary->num_generated_tokens,
                          Milliseconds(summary->arrival, summary->started),
                          Milliseconds(summary->arrival, summary->first_token));
  }
  logger_->log(level, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace tessera
