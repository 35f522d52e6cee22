#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nlohmann/json.hpp"

namespace tessera {

// Reads the fields of one JSON object and writes down every fault instead of stopping at the first. A field that is
// absent or null gives nullopt; so does a faulty one, after a line was added to `problems`. `object` and `problems`
// outlive the reader.
class ConfigFields {
 public:
  // `place` begins each problem, such as "config.json" or "config.json: rope_scaling".
  ConfigFields(const nlohmann::json& object, std::string place, std::vector<std::string>& problems)
      : object_(object), place_(std::move(place)), problems_(problems) {}

  bool Has(std::string_view name) const;  // present and not null

  std::optional<int32_t> Int(std::string_view name, int32_t min, int32_t max);
  std::optional<double> Number(std::string_view name, double min, double max);
  std::optional<bool> Bool(std::string_view name);
  std::optional<std::string> String(std::string_view name);
  std::optional<std::vector<int32_t>> Ints(std::string_view name, int32_t min, int32_t max);  // a number or a list
  std::optional<std::vector<std::string>> Strings(std::string_view name);
  const nlohmann::json* Object(std::string_view name);

  // The same, with a line if the field is absent. The value is then `min`.
  int32_t RequiredInt(std::string_view name, int32_t min, int32_t max);

  void AddProblem(std::string_view name, std::string_view got_and_wanted);

 private:
  const nlohmann::json* Find(std::string_view name) const;
  void AddWrong(std::string_view name, const nlohmann::json& got, std::string_view wanted);

  const nlohmann::json& object_;
  std::string place_;
  std::vector<std::string>& problems_;
};

}  // namespace tessera
