#include "scheduler/remote/worker_addresses.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

absl::Status CheckPort(std::string_view flag, std::string_view text, std::string_view port) {
  int number = 0;
  if (absl::SimpleAtoi(absl::string_view(port.data(), port.size()), &number) && number >= 1 && number <= 65535) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("%s: '%s' has the port '%s', wanted 1 to 65535", flag, text.substr(0, 256), port.substr(0, 32)));
}

absl::Status CheckHost(std::string_view flag, std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: got '%s', wanted HOST:PORT", flag, text.substr(0, 256)));
  }
  return CheckPort(flag, text, text.substr(colon + 1));
}

}  // namespace

absl::StatusOr<WorkerAddresses> ParseAddresses(std::string_view flag, std::string_view text) {
  constexpr std::string_view kDns = "dns:";
  WorkerAddresses addresses;
  if (text.substr(0, kDns.size()) == kDns) {
    const std::string_view rest = text.substr(kDns.size());
    const size_t colon = rest.rfind(':');
    if (colon == std::string_view::npos || colon == 0) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: got '%s', wanted dns:NAME:PORT", flag, text.substr(0, 256)));
    }
    TESSERA_RETURN_IF_ERROR(CheckPort(flag, text, rest.substr(colon + 1)));
    addresses.dns_name = std::string(rest.substr(0, colon));
    addresses.dns_port = std::string(rest.substr(colon + 1));
    return addresses;
  }
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view host = text.substr(0, comma);
    TESSERA_RETURN_IF_ERROR(CheckHost(flag, host));
    if (std::find(addresses.hosts.begin(), addresses.hosts.end(), host) != addresses.hosts.end()) {
      return absl::InvalidArgumentError(absl::StrFormat("%s: '%s' is there twice", flag, host));
    }
    addresses.hosts.emplace_back(host);
    if (comma == std::string_view::npos) return addresses;
    text.remove_prefix(comma + 1);
  }
}

absl::StatusOr<std::vector<std::string>> ResolveDns(const std::string& name, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(name.c_str(), port.c_str(), &hints, &found);
  if (error != 0) return absl::UnavailableError(absl::StrFormat("%s: %s", name, gai_strerror(error)));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  std::vector<std::string> addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    char text[INET6_ADDRSTRLEN] = {};
    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) != 0) continue;
    const bool is_v6 = entry->ai_family == AF_INET6;
    addresses.push_back(is_v6 ? absl::StrFormat("[%s]:%s", text, port) : absl::StrFormat("%s:%s", text, port));
  }
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  return addresses;
}

}  // namespace tessera
