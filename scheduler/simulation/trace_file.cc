#include "scheduler/simulation/trace_file.h"

#include <algorithm>
#include <fstream>
#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

constexpr double kSecondsMax = 1e9;  // some thirty years
constexpr const char* kFields =
    "arrival_s, prompt_tokens, output_tokens, max_tokens, prefix, prefix_tokens, client, priority, cancel_after_s";

// Numbers in the order in which the texts were first seen.
class Names {
 public:
  int32_t NumberOf(const std::string& name) {
    return numbers_.try_emplace(name, static_cast<int32_t>(numbers_.size())).first->second;
  }
  size_t size() const { return numbers_.size(); }

 private:
  absl::flat_hash_map<std::string, int32_t> numbers_;
};

absl::Status WrongValue(std::string_view field, std::string_view got, std::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrFormat("%s: got '%s', wanted %s", field, got.substr(0, 64), wanted));
}

absl::Status ReadInteger(std::string_view field, const std::string& text, int32_t min, int32_t& value) {
  if (absl::SimpleAtoi(text, &value) && value >= min) return absl::OkStatus();
  return WrongValue(field, text, absl::StrFormat("a whole number from %d to %d", min, INT32_MAX));
}

absl::Status ReadSeconds(std::string_view field, const std::string& text, absl::Duration& value) {
  double seconds = 0;
  if (!absl::SimpleAtod(text, &seconds) || !(seconds >= 0 && seconds <= kSecondsMax)) {
    return WrongValue(field, text, absl::StrFormat("seconds from 0 to %g", kSecondsMax));
  }
  value = absl::Seconds(seconds);
  return absl::OkStatus();
}

class Reader {
 public:
  Reader() {
    trace_.clients.emplace_back();
    clients_.NumberOf("");
  }

  // One field of the request being read. An empty text is as good as none.
  absl::Status Set(std::string_view field, const std::string& text) {
    if (text.empty()) return absl::OkStatus();
    if (field == "arrival_s") return ReadSeconds(field, text, request_.arrival);
    if (field == "prompt_tokens") return ReadInteger(field, text, 1, request_.prompt_tokens);
    if (field == "output_tokens") return ReadInteger(field, text, 1, request_.output_tokens);
    if (field == "max_tokens") return ReadInteger(field, text, 1, request_.max_tokens);
    if (field == "prefix_tokens") return ReadInteger(field, text, 0, request_.prefix_tokens);
    if (field == "priority") return ReadInteger(field, text, INT32_MIN, request_.priority);
    if (field == "cancel_after_s") return ReadSeconds(field, text, request_.cancel_after);
    if (field == "prefix") {
      request_.prefix = prefixes_.NumberOf(text);
      return absl::OkStatus();
    }
    if (field == "client") {
      request_.client = clients_.NumberOf(text);
      if (clients_.size() > trace_.clients.size()) trace_.clients.push_back(text);
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrFormat("'%s' is no field; there are %s", field.substr(0, 64), kFields));
  }

  absl::Status EndRequest() {
    TraceRequest request = std::exchange(request_, kNone);
    if (request.arrival == kNone.arrival) return WrongValue("arrival_s", "nothing", "seconds");
    if (request.prompt_tokens == 0) return WrongValue("prompt_tokens", "nothing", "a whole number");
    if (request.output_tokens == 0) return WrongValue("output_tokens", "nothing", "a whole number");
    if (request.max_tokens == 0) request.max_tokens = request.output_tokens;
    if (request.max_tokens < request.output_tokens) {
      return WrongValue("max_tokens", absl::StrFormat("%d", request.max_tokens),
                        absl::StrFormat("at least output_tokens (%d)", request.output_tokens));
    }
    if (request.prefix_tokens > request.prompt_tokens) {
      return WrongValue("prefix_tokens", absl::StrFormat("%d", request.prefix_tokens),
                        absl::StrFormat("at most prompt_tokens (%d)", request.prompt_tokens));
    }
    if (request.prefix < 0) request.prefix_tokens = 0;
    trace_.requests.push_back(request);
    return absl::OkStatus();
  }

  Trace Take() {
    std::stable_sort(trace_.requests.begin(), trace_.requests.end(),
                     [](const TraceRequest& a, const TraceRequest& b) { return a.arrival < b.arrival; });
    return std::move(trace_);
  }

 private:
  inline static const TraceRequest kNone = {.arrival = -absl::InfiniteDuration()};

  Trace trace_;
  TraceRequest request_ = kNone;
  Names clients_;
  Names prefixes_;
};

std::vector<std::string> SplitCsv(const std::string& line) {
  std::vector<std::string> cells = absl::StrSplit(line, ',');
  for (std::string& cell : cells) cell = std::string(absl::StripAsciiWhitespace(cell));
  return cells;
}

absl::Status ReadCsvLine(const std::string& line, const std::vector<std::string>& header, Reader& reader) {
  const std::vector<std::string> cells = SplitCsv(line);
  if (cells.size() != header.size()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("got %d cells, wanted %d as in the header", cells.size(), header.size()));
  }
  for (size_t i = 0; i < cells.size(); ++i) TESSERA_RETURN_IF_ERROR(reader.Set(header[i], cells[i]));
  return reader.EndRequest();
}

absl::Status ReadJsonLine(const std::string& line, Reader& reader) {
  const nlohmann::json object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return absl::InvalidArgumentError("got something else than one JSON object");
  for (const auto& [field, value] : object.items()) {
    if (value.is_null()) continue;
    if (!value.is_number() && !value.is_string()) return WrongValue(field, value.type_name(), "a number or a string");
    TESSERA_RETURN_IF_ERROR(reader.Set(field, value.is_string() ? value.get<std::string>() : value.dump()));
  }
  return reader.EndRequest();
}

}  // namespace

absl::StatusOr<Trace> ReadTrace(std::istream& in, TraceFormat format) {
  Reader reader;
  std::vector<std::string> header;
  std::string line;
  for (int64_t number = 1; std::getline(in, line); ++number) {
    absl::StripTrailingAsciiWhitespace(&line);
    if (line.empty()) continue;
    absl::Status status;
    if (format == TraceFormat::kJsonLines) {
      status = ReadJsonLine(line, reader);
    } else if (header.empty()) {
      header = SplitCsv(line);
    } else {
      status = ReadCsvLine(line, header, reader);
    }
    if (!status.ok()) return absl::InvalidArgumentError(absl::StrFormat("line %d: %s", number, status.message()));
  }
  return reader.Take();
}

absl::StatusOr<Trace> ReadTraceFile(const std::string& path) {
  const bool is_csv = path.ends_with(".csv");
  if (!is_csv && !path.ends_with(".jsonl")) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: wanted a name that ends in .csv or .jsonl", path));
  }
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrFormat("%s: cannot be opened", path));
  absl::StatusOr<Trace> trace = ReadTrace(file, is_csv ? TraceFormat::kCsv : TraceFormat::kJsonLines);
  if (trace.ok()) return trace;
  return absl::InvalidArgumentError(absl::StrFormat("%s: %s", path, trace.status().message()));
}

void WriteTrace(const Trace& trace, std::ostream& out) {
  out << "arrival_s,prompt_tokens,output_tokens,max_tokens,prefix,prefix_tokens,client,priority,cancel_after_s\n";
  for (const TraceRequest& one : trace.requests) {
    const std::string prefix = one.prefix < 0 ? "" : absl::StrFormat("%d", one.prefix);
    const std::string cancel = one.cancel_after == absl::InfiniteDuration()
                                   ? ""
                                   : absl::StrFormat("%.9f", absl::ToDoubleSeconds(one.cancel_after));
    out << absl::StrFormat("%.9f,%d,%d,%d,%s,%d,%s,%d,%s\n", absl::ToDoubleSeconds(one.arrival), one.prompt_tokens,
                           one.output_tokens, one.max_tokens, prefix, one.prefix_tokens,
                           trace.clients[static_cast<size_t>(one.client)], one.priority, cancel);
  }
}

}  // namespace tessera
