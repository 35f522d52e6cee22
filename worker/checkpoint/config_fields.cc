#include "worker/checkpoint/config_fields.h"

#include <cmath>

#include "absl/strings/str_format.h"

namespace tessera {
namespace {

std::string Describe(const nlohmann::json& value) {
  constexpr size_t kCharsMax = 60;
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > kCharsMax) text = text.substr(0, kCharsMax) + "…";
  return absl::StrFormat("%s (%s)", text, value.type_name());
}

// The integer in [min, max] that the value is, if it is one. 3.0 and true are none.
std::optional<int32_t> ToInt(const nlohmann::json& value, int32_t min, int32_t max) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  const auto number = value.get<int64_t>();
  if (number < min || number > max) return std::nullopt;
  return static_cast<int32_t>(number);
}

}  // namespace

const nlohmann::json* ConfigFields::Find(std::string_view name) const {
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

bool ConfigFields::Has(std::string_view name) const { return Find(name) != nullptr; }

void ConfigFields::AddProblem(std::string_view name, std::string_view got_and_wanted) {
  problems_.push_back(absl::StrFormat("%s: '%s' %s", place_, name, got_and_wanted));
}

void ConfigFields::AddWrong(std::string_view name, const nlohmann::json& got, std::string_view wanted) {
  AddProblem(name, absl::StrFormat("is %s, wanted %s", Describe(got), wanted));
}

std::optional<int32_t> ConfigFields::Int(std::string_view name, int32_t min, int32_t max) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  const std::optional<int32_t> number = ToInt(*value, min, max);
  if (!number) AddWrong(name, *value, absl::StrFormat("an integer from %d to %d", min, max));
  return number;
}

int32_t ConfigFields::RequiredInt(std::string_view name, int32_t min, int32_t max) {
  if (!Has(name)) {
    AddProblem(name, absl::StrFormat("is missing, wanted an integer from %d to %d", min, max));
    return min;
  }
  return Int(name, min, max).value_or(min);
}

std::optional<double> ConfigFields::Number(std::string_view name, double min, double max) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (number >= min && number <= max) return number;  // written so that NaN fails too
  AddWrong(name, *value, absl::StrFormat("a number from %g to %g", min, max));
  return std::nullopt;
}

std::optional<bool> ConfigFields::Bool(std::string_view name) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>();
  AddWrong(name, *value, "true or false");
  return std::nullopt;
}

std::optional<std::string> ConfigFields::String(std::string_view name) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  AddWrong(name, *value, "a string");
  return std::nullopt;
}

std::optional<std::vector<int32_t>> ConfigFields::Ints(std::string_view name, int32_t min, int32_t max) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  std::vector<int32_t> numbers;
  const nlohmann::json list = value->is_array() ? *value : nlohmann::json::array({*value});
  for (const nlohmann::json& item : list) {
    const std::optional<int32_t> number = ToInt(item, min, max);
    if (!number) {
      AddWrong(name, *value, absl::StrFormat("integers from %d to %d", min, max));
      return std::nullopt;
    }
    numbers.push_back(*number);
  }
  return numbers;
}

std::optional<std::vector<std::string>> ConfigFields::Strings(std::string_view name) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  std::vector<std::string> strings;
  bool all_strings = value->is_array();
  for (size_t i = 0; all_strings && i < value->size(); ++i) {
    all_strings = (*value)[i].is_string();
    if (all_strings) strings.push_back((*value)[i].get<std::string>());
  }
  if (all_strings) return strings;
  AddWrong(name, *value, "a list of strings");
  return std::nullopt;
}

const nlohmann::json* ConfigFields::Object(std::string_view name) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr || value->is_object()) return value;
  AddWrong(name, *value, "an object");
  return nullptr;
}

}  // namespace tessera
