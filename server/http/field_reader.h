#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/ids.h"
#include "server/limits/json_parser.h"

namespace tessera {

// Reads the fields of one JSON object into typed places. A field that is absent or null leaves its place as it is. The
// first one of a wrong type is remembered: check status() when all are read. Fields nobody asks for are ignored.
class FieldReader {
 public:
  // `path` stands before the names in messages: "tools[0]." or "". Requires: `object` outlives the reader.
  FieldReader(const Json& object, std::string path) : path_(std::move(path)), object_(object) {}

  void Read(std::string_view name, bool& out);
  void Read(std::string_view name, std::optional<bool>& out);
  void Read(std::string_view name, int32_t& out);
  void Read(std::string_view name, std::optional<int32_t>& out);
  void Read(std::string_view name, int64_t& out);  // integers beyond 64 bits become the largest
  void Read(std::string_view name, std::optional<int64_t>& out);
  void Read(std::string_view name, float& out);
  void Read(std::string_view name, std::optional<float>& out);
  void Read(std::string_view name, std::string& out);
  void Read(std::string_view name, std::optional<std::string>& out);
  void Read(std::string_view name, std::vector<TokenId>& out);

  // The member, whatever its type; null if it is absent or null.
  const Json* Find(std::string_view name) const;
  // The same, if it is an object or an array; an error otherwise.
  const Json* FindObject(std::string_view name);
  const Json* FindArray(std::string_view name);

  std::string Path(std::string_view name) const { return path_ + std::string(name); }
  // Remembers "name: got GOT, wanted WANTED", unless there is an error already.
  void Refuse(std::string_view name, const std::string& got, std::string_view wanted);
  void Fail(absl::Status status);
  const absl::Status& status() const { return status_; }

 private:
  template <typename T>
  void ReadOptional(std::string_view name, std::optional<T>& out);

  std::string path_;
  const Json& object_;
  absl::Status status_;
};

// A value for a message: its type, and itself if it is short.
std::string Describe(const Json& value);

// An integer in 32 bits, as token ids are.
std::optional<int32_t> ToInt32(const Json& value);

}  // namespace tessera
