#include "server/chat/template_json.h"

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"

namespace tessera {
namespace {

using Json = nlohmann::json;

constexpr size_t kDepthMax = 128;

void AppendQuoted(std::string_view text, std::string& out) {
  out.push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          absl::StrAppendFormat(&out, "\\u%04x", static_cast<unsigned char>(c));
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back('"');
}

// Writes each event of the parser as it comes; nothing is built.
class Writer : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Write("null"); }
  bool boolean(bool value) override { return Write(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return Write(absl::StrCat(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Write(absl::StrCat(value)); }
  bool number_float(number_float_t, const string_t& spelling) override { return Write(spelling); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return Open('{'); }
  bool end_object() override { return Close('}'); }
  bool start_array(size_t) override { return Open('['); }
  bool end_array() override { return Close(']'); }

  bool string(string_t& value) override {
    Separate();
    AppendQuoted(value, out_);
    return true;
  }

  bool key(string_t& value) override {
    Separate();
    AppendQuoted(value, out_);
    out_ += ": ";
    after_key_ = true;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    error_ = absl::StrFormat("not JSON (byte %d)", position);
    return false;
  }

  std::string& out() { return out_; }
  const std::string& error() const { return error_; }

 private:
  void Separate() {
    if (after_key_) {
      after_key_ = false;
      return;
    }
    if (has_members_.empty()) return;
    if (has_members_.back()) out_ += ", ";
    has_members_.back() = true;
  }

  bool Write(std::string_view text) {
    Separate();
    out_ += text;
    return true;
  }

  bool Open(char bracket) {
    if (has_members_.size() == kDepthMax) {
      error_ = absl::StrFormat("nested deeper than %d levels", kDepthMax);
      return false;
    }
    Separate();
    out_.push_back(bracket);
    has_members_.push_back(false);
    return true;
  }

  bool Close(char bracket) {
    out_.push_back(bracket);
    has_members_.pop_back();
    return true;
  }

  std::string out_;
  std::string error_;
  std::vector<bool> has_members_;  // of the open containers
  bool after_key_ = false;
};

}  // namespace

absl::StatusOr<std::string> FormatTemplateJson(std::string_view json) {
  Writer writer;
  if (!Json::sax_parse(json.begin(), json.end(), &writer)) return absl::InvalidArgumentError(writer.error());
  return std::move(writer.out());
}

}  // namespace tessera
