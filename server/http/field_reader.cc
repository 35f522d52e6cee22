#include "server/http/field_reader.h"

#include <limits>
#include <utility>

#include "absl/strings/str_format.h"

namespace tessera {

std::string Describe(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() <= 64 ? text : absl::StrFormat("a %s", value.type_name());
}

std::optional<int32_t> ToInt32(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned()) {
    const auto wide = value.get<uint64_t>();
    if (wide > static_cast<uint64_t>(std::numeric_limits<int32_t>::max())) return std::nullopt;
    return static_cast<int32_t>(wide);
  }
  const auto wide = value.get<int64_t>();
  if (wide < std::numeric_limits<int32_t>::min() || wide > std::numeric_limits<int32_t>::max()) return std::nullopt;
  return static_cast<int32_t>(wide);
}

void FieldReader::Fail(absl::Status status) {
  if (status_.ok()) status_ = std::move(status);
}

void FieldReader::Refuse(std::string_view name, const std::string& got, std::string_view wanted) {
  Fail(absl::InvalidArgumentError(absl::StrFormat("%s: got %s, wanted %s", Path(name), got, wanted)));
}

const Json* FieldReader::Find(std::string_view name) const {
  if (!object_.is_object()) return nullptr;
  for (const auto& [key, value] : object_.get_ref<const Json::object_t&>()) {
    if (key == name) return value.is_null() ? nullptr : &value;
  }
  return nullptr;
}

const Json* FieldReader::FindObject(std::string_view name) {
  const Json* value = Find(name);
  if (value == nullptr || value->is_object()) return value;
  Refuse(name, Describe(*value), "an object");
  return nullptr;
}

const Json* FieldReader::FindArray(std::string_view name) {
  const Json* value = Find(name);
  if (value == nullptr || value->is_array()) return value;
  Refuse(name, Describe(*value), "an array");
  return nullptr;
}

void FieldReader::Read(std::string_view name, bool& out) {
  const Json* value = Find(name);
  if (value == nullptr) return;
  if (!value->is_boolean()) return Refuse(name, Describe(*value), "true or false");
  out = value->get<bool>();
}

void FieldReader::Read(std::string_view name, int32_t& out) {
  const Json* value = Find(name);
  if (value == nullptr) return;
  const std::optional<int32_t> number = ToInt32(*value);
  if (!number.has_value()) return Refuse(name, Describe(*value), "an integer of 32 bits");
  out = *number;
}

void FieldReader::Read(std::string_view name, int64_t& out) {
  const Json* value = Find(name);
  if (value == nullptr) return;
  if (!value->is_number_integer()) return Refuse(name, Describe(*value), "an integer");
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  const bool is_beyond = value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(kMax);
  out = is_beyond ? kMax : value->get<int64_t>();
}

void FieldReader::Read(std::string_view name, float& out) {
  const Json* value = Find(name);
  if (value == nullptr) return;
  if (!value->is_number()) return Refuse(name, Describe(*value), "a number");
  out = static_cast<float>(value->get<double>());
}

void FieldReader::Read(std::string_view name, std::string& out) {
  const Json* value = Find(name);
  if (value == nullptr) return;
  if (!value->is_string()) return Refuse(name, Describe(*value), "a string");
  out = value->get_ref<const std::string&>();
}

template <typename T>
void FieldReader::ReadOptional(std::string_view name, std::optional<T>& out) {
  if (Find(name) == nullptr) return;
  T value{};
  Read(name, value);
  out = std::move(value);
}

void FieldReader::Read(std::string_view name, std::optional<bool>& out) { ReadOptional(name, out); }
void FieldReader::Read(std::string_view name, std::optional<int32_t>& out) { ReadOptional(name, out); }
void FieldReader::Read(std::string_view name, std::optional<int64_t>& out) { ReadOptional(name, out); }
void FieldReader::Read(std::string_view name, std::optional<float>& out) { ReadOptional(name, out); }
void FieldReader::Read(std::string_view name, std::optional<std::string>& out) { ReadOptional(name, out); }

void FieldReader::Read(std::string_view name, std::vector<TokenId>& out) {
  const Json* array = FindArray(name);
  if (array == nullptr) return;
  out.clear();
  out.reserve(array->size());
  for (const Json& value : *array) {
    const std::optional<int32_t> id = ToInt32(value);
    if (!id.has_value()) {
      return Refuse(absl::StrFormat("%s[%d]", name, out.size()), Describe(value), "a token id");
    }
    out.push_back(*id);
  }
}

}  // namespace tessera
