#include "worker/checkpoint/json_text.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>
#include <unordered_set>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

// Walks over the text once, before the parser: its nesting, and words that JSON does not have.
class JsonScanner {
 public:
  JsonScanner(std::string_view text, std::string_view file, int depth_max)
      : text_(text), file_(file), depth_max_(depth_max) {}

  absl::Status Scan() {
    while (position_ < text_.size()) {
      const char c = text_[position_];
      if (c == '"') {
        SkipString();
      } else if (c == '{' || c == '[') {
        if (++depth_ > depth_max_) return absl::InvalidArgumentError(TooDeep());
        ++position_;
      } else if (c == '}' || c == ']') {
        --depth_;
        ++position_;
      } else if (c == 'N' || c == 'I') {
        return NotANumber();
      } else {
        ++position_;
      }
    }
    return absl::OkStatus();
  }

 private:
  void SkipString() {
    const size_t begin = ++position_;
    while (position_ < text_.size() && text_[position_] != '"') position_ += text_[position_] == '\\' ? 2 : 1;
    position_ = std::min(position_, text_.size());
    last_string_ = text_.substr(begin, position_ - begin);
    ++position_;
  }

  std::string TooDeep() const { return absl::StrFormat("%s: nested deeper than %d levels", file_, depth_max_); }

  absl::Status NotANumber() const {
    for (const std::string_view word : {"NaN", "Infinity"}) {
      if (text_.substr(position_, word.size()) == word) {
        return absl::InvalidArgumentError(
            absl::StrFormat("%s: '%s' is %s, wanted a finite number", file_, last_string_.substr(0, 100), word));
      }
    }
    return absl::OkStatus();  // the parser will say what is wrong
  }

  std::string_view text_;
  std::string_view file_;
  int depth_max_;
  size_t position_ = 0;
  int depth_ = 0;
  std::string_view last_string_;
};

// Sees each key as it is parsed and remembers the first that an object holds twice.
class DuplicateKeys {
 public:
  bool operator()(int /*depth*/, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    if (event == nlohmann::json::parse_event_t::object_start) {
      open_.emplace_back();
    } else if (event == nlohmann::json::parse_event_t::object_end) {
      open_.pop_back();
    } else if (event == nlohmann::json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!open_.back().insert(key).second && first_.empty()) first_ = absl::StrFormat("'%s'", key);
    }
    return true;
  }
  const std::string& first() const { return first_; }

 private:
  std::vector<std::unordered_set<std::string>> open_;
  std::string first_;
};

}  // namespace

absl::StatusOr<std::string> ReadTextFile(const std::string& path, int64_t bytes_max) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) {
    const std::string text = absl::StrFormat("%s: %s", path, std::generic_category().message(errno));
    return errno == ENOENT ? absl::NotFoundError(text) : absl::FailedPreconditionError(text);
  }
  if (!S_ISREG(info.st_mode)) return absl::FailedPreconditionError(absl::StrFormat("%s: not a regular file", path));
  if (info.st_size > bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: %d bytes, wanted at most %d", path, info.st_size, bytes_max));
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(static_cast<size_t>(info.st_size), '\0');
  if (!file || !file.read(text.data(), static_cast<std::streamsize>(text.size()))) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s: cannot be read: %s", path, std::generic_category().message(errno)));
  }
  return text;
}

absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view text, std::string_view file,
                                               const HeaderJsonLimits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: %d bytes, wanted at most %d", file, text.size(), limits.bytes_max));
  }
  TESSERA_RETURN_IF_ERROR(JsonScanner(text, file, limits.depth_max).Scan());
  DuplicateKeys duplicates;
  nlohmann::json parsed;
  try {
    parsed = nlohmann::json::parse(text, std::ref(duplicates));
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: %s", file, error.what()));
  }
  if (!duplicates.first().empty()) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: %s is given twice", file, duplicates.first()));
  }
  if (!parsed.is_object()) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: is %s, wanted a JSON object", file, parsed.type_name()));
  }
  return parsed;
}

}  // namespace tessera
