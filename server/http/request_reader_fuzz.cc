// Any bytes from a client, in any pieces: requests, or a refusal with a message; the same in one piece.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "server/http/request_reader.h"

namespace {

using namespace tessera;

// "METHOD path body" of each request that is read before one is refused.
std::vector<std::string> ReadAll(std::string_view bytes, size_t piece_bytes) {
  const HttpConfig config{.header_bytes_max = 1024, .body_bytes_max = 1024};
  ByteBudget budget(1 << 20);
  RequestReader reader(config, budget);
  std::vector<std::string> requests;
  while (!bytes.empty()) {
    reader.Add(bytes.substr(0, piece_bytes));
    bytes.remove_prefix(std::min(bytes.size(), piece_bytes));
    RequestReader::Progress progress = reader.Advance();
    while (progress == RequestReader::Progress::kComplete) {
      const HttpRequest request = reader.Take();
      requests.push_back(request.method + " " + request.path + " " + request.body);
      progress = reader.Advance();
    }
    if (progress == RequestReader::Progress::kRefused) {
      TESSERA_CHECK(!reader.refusal().message.empty());
      break;
    }
  }
  return requests;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  TESSERA_CHECK(ReadAll(bytes, 1) == ReadAll(bytes, std::max<size_t>(size, 1)));
  return 0;
}
