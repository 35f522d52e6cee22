#include "server/tokenizer/pre_tokenizer.h"

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "server/tokenizer/split_pattern.h"

namespace tessera {
namespace {

using Json = nlohmann::ordered_json;

// Far above what the accepted patterns need on a text of 100 MB, and they need no heap at all. The limits only turn
// a fault of ours into an error of one request.
constexpr uint32_t kMatchLimit = 1u << 30;
constexpr uint32_t kHeapLimitKib = 64 << 10;
constexpr uint32_t kDepthLimit = 1u << 20;
constexpr size_t kStepsMax = 32;

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeMatchContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
using MatchData = std::unique_ptr<pcre2_match_data, FreeMatchData>;

std::string Pcre2Message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

std::string TextOf(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool FlagOf(const Json& object, const char* key, bool absent) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() ? found->get<bool>() : absent;
}

}  // namespace

// One step: a compiled pattern, whose matches become pieces, as does the text between them.
class PreTokenizer::Step {
 public:
  static absl::StatusOr<std::unique_ptr<const Step>> Compile(const SplitPattern& pattern) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NO_AUTO_CAPTURE | PCRE2_NEVER_BACKSLASH_C;
    std::unique_ptr<pcre2_code, FreeCode> code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.pcre2.data()),
                                                             pattern.pcre2.size(), options, &error, &offset, nullptr));
    if (code == nullptr) {
      return absl::InvalidArgumentError(absl::StrFormat("regex: %s", Pcre2Message(error)));
    }
    // Where memory must not be executable this fails, and matching falls back to the interpreter.
    pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
    std::unique_ptr<pcre2_match_context, FreeMatchContext> context(pcre2_match_context_create(nullptr));
    if (context == nullptr) return absl::ResourceExhaustedError("regex: no memory");
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_heap_limit(context.get(), kHeapLimitKib);
    pcre2_set_depth_limit(context.get(), kDepthLimit);
    return std::unique_ptr<const Step>(new Step(std::move(code), std::move(context), pattern.only_at_end));
  }

  absl::Status Split(std::string_view piece, pcre2_match_data* data, std::vector<std::string_view>& out) const {
    const auto subject = reinterpret_cast<PCRE2_SPTR>(piece.data());
    const PCRE2_SIZE* match = pcre2_get_ovector_pointer(data);
    size_t done = 0;
    size_t from = 0;
    while (from < piece.size()) {
      const int found = pcre2_match(code_.get(), subject, piece.size(), from, PCRE2_NO_UTF_CHECK, data, context_.get());
      if (found == PCRE2_ERROR_NOMATCH) break;
      if (found < 0) {
        return absl::ResourceExhaustedError(absl::StrFormat("text can't be tokenized: %s", Pcre2Message(found)));
      }
      from = match[1];
      if (only_at_end_ && match[1] != piece.size()) continue;
      if (match[0] > done) out.push_back(piece.substr(done, match[0] - done));
      out.push_back(piece.substr(match[0], match[1] - match[0]));
      done = match[1];
    }
    if (done < piece.size()) out.push_back(piece.substr(done));
    return absl::OkStatus();
  }

 private:
  Step(std::unique_ptr<pcre2_code, FreeCode> code, std::unique_ptr<pcre2_match_context, FreeMatchContext> context,
       bool only_at_end)
      : code_(std::move(code)), context_(std::move(context)), only_at_end_(only_at_end) {}

  std::unique_ptr<pcre2_code, FreeCode> code_;
  std::unique_ptr<pcre2_match_context, FreeMatchContext> context_;  // read only while matching
  bool only_at_end_;
};

namespace {

absl::StatusOr<SplitPattern> ReadSplit(const Json& entry) {
  if (const std::string behavior = TextOf(entry, "behavior"); behavior != "Isolated") {
    return absl::InvalidArgumentError(
        absl::StrFormat("behavior \"%s\" is not supported, wanted \"Isolated\"", behavior));
  }
  if (FlagOf(entry, "invert", false)) return absl::InvalidArgumentError("invert is not supported");
  const auto pattern = entry.find("pattern");
  if (pattern != entry.end() && pattern->is_object()) {
    if (const std::string regex = TextOf(*pattern, "Regex"); !regex.empty()) return TranslateSplitPattern(regex);
    if (const std::string text = TextOf(*pattern, "String"); !text.empty()) return LiteralSplitPattern(text);
  }
  return absl::InvalidArgumentError("pattern: wanted {\"Regex\": …} or {\"String\": …}");
}

absl::Status CheckByteLevel(const Json& entry) {
  if (FlagOf(entry, "add_prefix_space", true)) {
    return absl::InvalidArgumentError("add_prefix_space: true is not supported");
  }
  if (FlagOf(entry, "use_regex", true)) return absl::InvalidArgumentError("use_regex: true is not supported");
  return absl::OkStatus();
}

// The patterns of all steps. The last entry must be ByteLevel, which cuts nothing.
absl::StatusOr<std::vector<SplitPattern>> ReadPatterns(const Json& entries) {
  std::vector<SplitPattern> patterns;
  for (size_t i = 0; i < entries.size(); ++i) {
    const Json& entry = entries[i];
    if (!entry.is_object()) {
      return absl::InvalidArgumentError(absl::StrFormat("pre_tokenizer[%d]: not an object", i));
    }
    const std::string type = TextOf(entry, "type");
    const bool is_last = i + 1 == entries.size();
    absl::StatusOr<SplitPattern> pattern;
    if (type == "ByteLevel" && is_last) {
      pattern = SplitPattern();
      if (absl::Status status = CheckByteLevel(entry); !status.ok()) pattern = status;
    } else if (type == "Split" && !is_last) {
      pattern = ReadSplit(entry);
    } else if (type == "Digits" && !is_last) {
      pattern = TranslateSplitPattern(FlagOf(entry, "individual_digits", false) ? "\\p{N}" : "\\p{N}+");
    } else {
      pattern = absl::InvalidArgumentError(
          "not supported here, wanted \"Split\" or \"Digits\" entries and \"ByteLevel\" as the last");
    }
    if (!pattern.ok()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("pre_tokenizer[%d] \"%s\": %s", i, type, pattern.status().message()));
    }
    if (!is_last) patterns.push_back(*std::move(pattern));
  }
  return patterns;
}

}  // namespace

PreTokenizer::PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

absl::StatusOr<PreTokenizer> PreTokenizer::FromJson(const Json& pre_tokenizer) {
  Json entries = Json::array();
  if (pre_tokenizer.is_object()) {
    const auto list = pre_tokenizer.find("pretokenizers");
    if (TextOf(pre_tokenizer, "type") != "Sequence") {
      entries.push_back(pre_tokenizer);
    } else if (list != pre_tokenizer.end() && list->is_array()) {
      entries = *list;
    }
  }
  if (entries.empty() || entries.size() > kStepsMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("pre_tokenizer: wanted a Sequence of 1 to %d entries that ends in ByteLevel", kStepsMax));
  }
  TESSERA_ASSIGN_OR_RETURN(const std::vector<SplitPattern> patterns, ReadPatterns(entries));
  PreTokenizer result;
  for (const SplitPattern& pattern : patterns) {
    TESSERA_ASSIGN_OR_RETURN(std::unique_ptr<const Step> step, Step::Compile(pattern));
    result.steps_.push_back(std::move(step));
  }
  return result;
}

absl::Status PreTokenizer::Split(std::string_view text, std::vector<std::string_view>& pieces) const {
  pieces.clear();
  if (text.empty()) return absl::OkStatus();
  pieces.push_back(text);
  const MatchData data(pcre2_match_data_create(1, nullptr));
  if (data == nullptr) return absl::ResourceExhaustedError("text can't be tokenized: no memory");
  std::vector<std::string_view> next;
  for (const std::unique_ptr<const Step>& step : steps_) {
    next.clear();
    for (const std::string_view piece : pieces) TESSERA_RETURN_IF_ERROR(step->Split(piece, data.get(), next));
    pieces.swap(next);
  }
  return absl::OkStatus();
}

}  // namespace tessera
