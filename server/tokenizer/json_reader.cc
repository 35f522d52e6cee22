#include "server/tokenizer/json_reader.h"

#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"

namespace tessera {
namespace {

using Json = nlohmann::json;

// Builds the document from the parser's events, which come without recursion.
class DocumentBuilder : public nlohmann::json_sax<Json> {
 public:
  explicit DocumentBuilder(int depth_max) : depth_max_(depth_max) {}

  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(number_integer_t value) override { return Add(value); }
  bool number_unsigned(number_unsigned_t value) override { return Add(value); }
  bool number_float(number_float_t value, const string_t&) override { return Add(value); }
  bool string(string_t& value) override { return Add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return Open(Json::object()); }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_array() override { return Close(); }

  bool key(string_t& value) override {
    const auto [entry, is_new] = open_.back()->get_ref<Json::object_t&>().emplace(std::move(value), nullptr);
    if (!is_new) return Fail(absl::StrFormat("key \"%s\" appears twice in one object", entry->first));
    member_ = &entry->second;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    // The library's text begins with its own tag, such as "[json.exception.parse_error.101] ".
    const std::string_view what = error.what();
    const size_t tag_end = what.find("] ");
    return Fail(absl::StrFormat("not JSON (byte %d): %s", position,
                                tag_end == std::string_view::npos ? what : what.substr(tag_end + 2)));
  }

  Json& document() { return document_; }
  const std::string& error() const { return error_; }

 private:
  bool Fail(std::string error) {
    error_ = std::move(error);
    return false;
  }

  Json* Put(Json value) {
    if (open_.empty()) {
      document_ = std::move(value);
      return &document_;
    }
    if (open_.back()->is_array()) {
      return &open_.back()->get_ref<Json::array_t&>().emplace_back(std::move(value));
    }
    *member_ = std::move(value);
    return member_;
  }

  bool Add(Json value) {
    Put(std::move(value));
    return true;
  }

  bool Open(Json container) {
    if (static_cast<int>(open_.size()) == depth_max_) {
      return Fail(absl::StrFormat("nested deeper than %d levels", depth_max_));
    }
    open_.push_back(Put(std::move(container)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  int depth_max_;
  Json document_;
  std::vector<Json*> open_;  // the containers around the current position; the last grows, so pointers to it stay good
  Json* member_ = nullptr;   // value of the last key
  std::string error_;
};

}  // namespace

absl::StatusOr<std::string> ReadFileLimited(const std::string& path, int64_t bytes_max) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    return absl::NotFoundError(absl::StrFormat("%s: no such file", path));
  }
  if (error || status.type() != std::filesystem::file_type::regular) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: not a readable file", path));
  }
  const auto size = std::filesystem::file_size(path, error);
  if (error || size > static_cast<uint64_t>(bytes_max)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: has %d bytes, at most %d are accepted", path, size, bytes_max));
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(static_cast<size_t>(size), '\0');
  file.read(text.data(), static_cast<std::streamsize>(size));
  if (!file || file.gcount() != static_cast<std::streamsize>(size)) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: can't be read", path));
  }
  return text;
}

absl::StatusOr<Json> ParseJsonLimited(std::string_view text, int depth_max) {
  DocumentBuilder builder(depth_max);
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) {
    return absl::InvalidArgumentError(builder.error().empty() ? "not JSON" : builder.error());
  }
  return std::move(builder.document());
}

}  // namespace tessera
