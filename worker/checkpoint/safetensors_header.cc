#include "worker/checkpoint/safetensors_header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <unordered_set>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace tessera {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is used in place");

struct DTypeName {
  StoredDType dtype;
  std::string_view name;
  int64_t bytes;
};
constexpr std::array<DTypeName, 16> kDTypes = {{{StoredDType::kF64, "F64", 8},
                                                {StoredDType::kF32, "F32", 4},
                                                {StoredDType::kF16, "F16", 2},
                                                {StoredDType::kBF16, "BF16", 2},
                                                {StoredDType::kF8E4M3, "F8_E4M3", 1},
                                                {StoredDType::kF8E5M2, "F8_E5M2", 1},
                                                {StoredDType::kF8E8M0, "F8_E8M0", 1},
                                                {StoredDType::kI64, "I64", 8},
                                                {StoredDType::kI32, "I32", 4},
                                                {StoredDType::kI16, "I16", 2},
                                                {StoredDType::kI8, "I8", 1},
                                                {StoredDType::kU64, "U64", 8},
                                                {StoredDType::kU32, "U32", 4},
                                                {StoredDType::kU16, "U16", 2},
                                                {StoredDType::kU8, "U8", 1},
                                                {StoredDType::kBool, "BOOL", 1}}};

constexpr size_t kDimensionsMax = 8;
constexpr size_t kNameBytesMax = 512;

// A tensor as its entry says, before anything is checked against the file.
struct RawEntry {
  std::string name, dtype;
  std::vector<uint64_t> shape, offsets;
  bool has_dtype = false, has_shape = false, has_offsets = false;
};

// Takes exactly the structure of a safetensors header from the parser and refuses everything else at once, so that a
// hostile header costs memory for its tensors only. Not nlohmann's DOM: that takes 16 bytes for each "1," of a text.
class HeaderSax {
 public:
  std::vector<RawEntry> entries;
  std::string error;

  // NOLINTBEGIN(readability-identifier-naming): names of nlohmann's SAX interface
  bool null() { return Refuse("null"); }
  bool boolean(bool) { return Refuse("a boolean"); }
  bool number_integer(int64_t) { return Refuse("a negative number"); }
  bool number_float(double, const std::string&) { return Refuse("a fraction"); }
  bool binary(nlohmann::json::binary_t&) { return Refuse("binary data"); }

  bool number_unsigned(uint64_t value) {
    if (state_ == State::kShape && entries.back().shape.size() < kDimensionsMax) {
      entries.back().shape.push_back(value);
      return true;
    }
    if (state_ == State::kOffsets && entries.back().offsets.size() < 2) {
      entries.back().offsets.push_back(value);
      return true;
    }
    return Refuse("a number");
  }

  bool string(std::string& value) {
    if (state_ == State::kMetadata) return true;
    if (state_ != State::kEntryValue || key_ != "dtype") return Refuse("a string");
    entries.back().dtype = value.substr(0, kNameBytesMax);
    entries.back().has_dtype = true;
    state_ = State::kEntry;
    return true;
  }

  bool start_object(size_t) {
    if (state_ == State::kStart) {
      state_ = State::kTop;
    } else if (state_ == State::kTopValue) {
      state_ = entry_is_metadata_ ? State::kMetadata : State::kEntry;
    } else {
      return Refuse("an object");
    }
    return true;
  }

  bool key(std::string& name) {
    if (name.size() > kNameBytesMax) return Refuse("a name of more than 512 bytes");
    if (state_ == State::kTop) return StartEntry(name);
    if (state_ == State::kMetadata) return true;
    return StartField(name);
  }

  bool end_object() {
    if (state_ == State::kEntry) {
      const RawEntry& entry = entries.back();
      if (!entry.has_dtype || !entry.has_shape || entry.offsets.size() != 2) {
        error = absl::StrFormat("'%s' lacks one of dtype, shape, data_offsets [begin, end]", entry.name);
        return false;
      }
    }
    state_ = state_ == State::kTop ? State::kEnd : State::kTop;
    return true;
  }

  bool start_array(size_t) {
    if (state_ != State::kEntryValue || (key_ != "shape" && key_ != "data_offsets")) return Refuse("a list");
    (key_ == "shape" ? entries.back().has_shape : entries.back().has_offsets) = true;
    state_ = key_ == "shape" ? State::kShape : State::kOffsets;
    return true;
  }

  bool end_array() {
    state_ = State::kEntry;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) {
    error = absl::StrFormat("not JSON at byte %d of the header", position);
    return false;
  }
  // NOLINTEND(readability-identifier-naming)

 private:
  enum class State : uint8_t { kStart, kTop, kTopValue, kMetadata, kEntry, kEntryValue, kShape, kOffsets, kEnd };

  bool Refuse(std::string_view what) {
    error = absl::StrFormat("the header holds %s near '%s', where the format has none", what,
                            entries.empty() ? "its beginning" : entries.back().name);
    return false;
  }

  bool StartEntry(const std::string& name) {
    entry_is_metadata_ = name == "__metadata__";
    if (!entry_is_metadata_) entries.push_back({.name = name});
    state_ = State::kTopValue;
    return true;
  }

  bool StartField(const std::string& name) {
    const RawEntry& entry = entries.back();
    const bool again = name == "dtype"          ? entry.has_dtype
                       : name == "shape"        ? entry.has_shape
                       : name == "data_offsets" ? entry.has_offsets
                                                : true;
    if (again) return Refuse("an unknown or repeated field");
    key_ = name;
    state_ = State::kEntryValue;
    return true;
  }

  State state_ = State::kStart;
  bool entry_is_metadata_ = false;
  std::string key_;
};

std::optional<DTypeName> FindDType(std::string_view name) {
  const auto* found = std::find_if(kDTypes.begin(), kDTypes.end(), [&](const DTypeName& d) { return d.name == name; });
  return found == kDTypes.end() ? std::nullopt : std::optional<DTypeName>(*found);
}

// shape · size, unless it is more than `bytes_max`.
std::optional<int64_t> BytesOf(const std::vector<uint64_t>& shape, int64_t item_bytes, int64_t bytes_max) {
  if (std::find(shape.begin(), shape.end(), 0U) != shape.end()) return 0;
  auto bytes = static_cast<uint64_t>(item_bytes);
  for (const uint64_t size : shape) {
    if (size > static_cast<uint64_t>(bytes_max) / bytes) return std::nullopt;
    bytes *= size;
  }
  return static_cast<int64_t>(bytes);
}

// Checks one entry against its own shape and the size of the data area.
absl::StatusOr<StoredTensor> CheckEntry(const RawEntry& entry, int64_t data_begin, int64_t data_bytes) {
  const std::optional<DTypeName> dtype = FindDType(entry.dtype);
  if (!dtype) {
    return absl::InvalidArgumentError(absl::StrFormat("'%s' has the unknown dtype '%s'", entry.name, entry.dtype));
  }
  const uint64_t begin = entry.offsets[0];
  const uint64_t end = entry.offsets[1];
  if (begin > end || end > static_cast<uint64_t>(data_bytes)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "'%s' has data_offsets [%d, %d], but the file holds %d bytes of data", entry.name, begin, end, data_bytes));
  }
  const std::optional<int64_t> bytes = BytesOf(entry.shape, dtype->bytes, data_bytes);
  if (!bytes || static_cast<uint64_t>(*bytes) != end - begin) {
    return absl::InvalidArgumentError(absl::StrFormat("'%s' is %s [%s] but has %d bytes of data", entry.name,
                                                      entry.dtype, absl::StrJoin(entry.shape, ", "), end - begin));
  }
  return StoredTensor{.name = entry.name,
                      .dtype = dtype->dtype,
                      .shape = std::vector<int64_t>(entry.shape.begin(), entry.shape.end()),
                      .begin = data_begin + static_cast<int64_t>(begin),
                      .bytes = *bytes};
}

// The tensors must lie one behind the other from the beginning of the data area to the end of the file, as the format's
// own library demands: a gap or a remainder is a sign of a damaged file.
absl::Status CheckCoverage(const std::vector<StoredTensor>& tensors, int64_t data_begin, int64_t file_bytes) {
  int64_t expected = data_begin;
  const StoredTensor* before = nullptr;
  for (const StoredTensor& tensor : tensors) {
    if (tensor.begin < expected) {
      return absl::InvalidArgumentError(
          absl::StrFormat("'%s' and '%s' overlap in %d bytes", before->name, tensor.name, expected - tensor.begin));
    }
    if (tensor.begin > expected) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%d bytes before '%s' belong to no tensor", tensor.begin - expected, tensor.name));
    }
    expected = tensor.begin + tensor.bytes;
    before = &tensor;
  }
  if (expected != file_bytes) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%d bytes after the last tensor belong to no tensor", file_bytes - expected));
  }
  return absl::OkStatus();
}

absl::Status CheckUnique(const std::vector<StoredTensor>& tensors) {
  std::unordered_set<std::string_view> names;
  for (const StoredTensor& tensor : tensors) {
    if (!names.insert(tensor.name).second) {
      return absl::InvalidArgumentError(absl::StrFormat("'%s' is listed twice", tensor.name));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StoredTensor>> ParseEntries(std::string_view text, int64_t data_begin, int64_t file_bytes) {
  HeaderSax sax;
  bool parsed = false;
  try {
    parsed = nlohmann::json::sax_parse(text, &sax);
  } catch (const nlohmann::json::exception& error) {
    sax.error = error.what();
  }
  if (!parsed) return absl::InvalidArgumentError(sax.error);
  std::vector<StoredTensor> tensors;
  tensors.reserve(sax.entries.size());
  for (const RawEntry& entry : sax.entries) {
    TESSERA_ASSIGN_OR_RETURN(StoredTensor tensor, CheckEntry(entry, data_begin, file_bytes - data_begin));
    tensors.push_back(std::move(tensor));
  }
  TESSERA_RETURN_IF_ERROR(CheckUnique(tensors));
  std::stable_sort(tensors.begin(), tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return std::pair(a.begin, a.bytes) < std::pair(b.begin, b.bytes);
  });
  TESSERA_RETURN_IF_ERROR(CheckCoverage(tensors, data_begin, file_bytes));
  return tensors;
}

}  // namespace

std::string_view ToString(StoredDType dtype) { return kDTypes[static_cast<size_t>(dtype)].name; }

int64_t SizeOf(StoredDType dtype) { return kDTypes[static_cast<size_t>(dtype)].bytes; }

std::string Describe(StoredDType dtype, const std::vector<int64_t>& shape) {
  return absl::StrFormat("%s [%s]", ToString(dtype), absl::StrJoin(shape, ", "));
}

absl::StatusOr<std::vector<StoredTensor>> ParseSafetensorsHeader(std::string_view prefix, int64_t file_bytes,
                                                                 std::string_view file) {
  constexpr int64_t kLengthBytes = 8;
  if (file_bytes < kLengthBytes || static_cast<int64_t>(prefix.size()) < kLengthBytes) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: %d bytes, wanted at least the 8 bytes of a header's length", file, file_bytes));
  }
  uint64_t length = 0;
  std::memcpy(&length, prefix.data(), sizeof(length));
  const auto available =
      static_cast<uint64_t>(std::min(file_bytes, static_cast<int64_t>(prefix.size())) - kLengthBytes);
  if (length > kSafetensorsHeaderBytesMax || length > available) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: its header is %d bytes long by its first 8 bytes, but %d bytes follow and %d are the limit: truncated or "
        "not a safetensors file",
        file, length, available, kSafetensorsHeaderBytesMax));
  }
  const int64_t data_begin = kLengthBytes + static_cast<int64_t>(length);
  absl::StatusOr<std::vector<StoredTensor>> tensors =
      ParseEntries(prefix.substr(kLengthBytes, length), data_begin, file_bytes);
  if (tensors.ok()) return tensors;
  return absl::InvalidArgumentError(absl::StrFormat("%s: %s", file, tensors.status().message()));
}

}  // namespace tessera
