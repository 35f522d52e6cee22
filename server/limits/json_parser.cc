#include "server/limits/json_parser.h"

#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"

namespace tessera {
namespace {

// Builds the document from the events of nlohmann's parser, which keeps its own stack and does not recurse.
class DocumentBuilder final : public nlohmann::json_sax<Json> {
 public:
  explicit DocumentBuilder(const JsonLimits& limits) : limits_(limits) {}

  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(number_integer_t value) override { return Add(value); }
  bool number_unsigned(number_unsigned_t value) override { return Add(value); }
  bool number_float(number_float_t value, const string_t&) override { return Add(value); }
  bool string(string_t& value) override { return Add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Open(Json::object()); }
  bool start_array(std::size_t) override { return Open(Json::array()); }
  bool end_array() override { return Close(); }
  bool end_object() override { return HandleRepeated(open_.back()->get_ref<Json::object_t&>()) && Close(); }
  bool key(string_t& name) override {
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error …"
    std::string what = error.what();
    if (const size_t end = what.find("] "); end != std::string::npos) what.erase(0, end + 2);
    status_ = absl::InvalidArgumentError(absl::StrFormat("not JSON at byte %d: %s", position, what));
    return false;
  }

  const absl::Status& status() const { return status_; }
  Json Take() { return std::move(root_); }

 private:
  Json* Place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) return &parent.get_ref<Json::array_t&>().emplace_back(std::move(value));
    // Not emplace: it would search the members before, quadratic in their number.
    auto& members = parent.get_ref<Json::object_t&>();
    members.push_back({std::move(key_), std::move(value)});
    return &members.back().second;
  }

  bool Count() {
    if (++num_values_ <= limits_.values_max) return true;
    status_ = absl::InvalidArgumentError(absl::StrFormat("got more than %d JSON values", limits_.values_max));
    return false;
  }

  bool Add(Json value) {
    if (!Count()) return false;
    Place(std::move(value));
    return true;
  }

  bool Open(Json container) {
    if (!Count()) return false;
    if (static_cast<int>(open_.size()) >= limits_.depth_max) {
      status_ = absl::InvalidArgumentError(absl::StrFormat("got JSON nested deeper than %d levels", limits_.depth_max));
      return false;
    }
    open_.push_back(Place(std::move(container)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  bool HandleRepeated(Json::object_t& members) {
    std::unordered_set<std::string_view> names;
    std::vector<bool> is_last(members.size());
    for (size_t i = members.size(); i-- > 0;) {
      const std::string& name = members.begin()[static_cast<std::ptrdiff_t>(i)].first;
      is_last[i] = names.insert(name).second;
      if (!is_last[i] && limits_.refuses_repeated_names) {
        status_ = absl::InvalidArgumentError(absl::StrFormat("key \"%s\" appears twice in one object", name));
        return false;
      }
    }
    if (names.size() == members.size()) return true;
    Json::object_t kept;
    for (size_t i = 0; i < members.size(); ++i) {
      if (is_last[i]) kept.push_back(std::move(members.begin()[static_cast<std::ptrdiff_t>(i)]));
    }
    members = std::move(kept);
    return true;
  }

  const JsonLimits limits_;
  Json root_;
  std::vector<Json*> open_;  // containers around the next value; stable, for only the innermost one grows
  std::string key_;
  int64_t num_values_ = 0;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<Json> ParseJson(std::string_view text, const JsonLimits& limits) {
  DocumentBuilder builder(limits);
  if (!Json::sax_parse(text, &builder)) {
    if (!builder.status().ok()) return builder.status();
    return absl::InvalidArgumentError("not JSON");
  }
  return builder.Take();
}

}  // namespace tessera
