#include "worker/exchange/exchange_address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

struct HostAddress {
  std::string interface;
  std::string address;  // numeric
  bool is_loopback = false;
};

// Empty for what is no IP address, and for link-local ones, which mean nothing without their interface.
std::string Numeric(const sockaddr* address) {
  if (address == nullptr || (address->sa_family != AF_INET && address->sa_family != AF_INET6)) return "";
  const bool is_v6 = address->sa_family == AF_INET6;
  if (is_v6 && IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr)) return "";
  char text[NI_MAXHOST];
  const socklen_t size = is_v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  return ::getnameinfo(address, size, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) == 0 ? text : "";
}

absl::StatusOr<std::vector<HostAddress>> HostAddresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) {
    return absl::UnavailableError(
        absl::StrFormat("exchange: cannot list the interfaces: %s", std::generic_category().message(errno)));
  }
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  std::vector<HostAddress> found;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    std::string address = Numeric(entry->ifa_addr);
    if (address.empty() || (entry->ifa_flags & IFF_UP) == 0) continue;
    found.push_back({.interface = entry->ifa_name,
                     .address = std::move(address),
                     .is_loopback = (entry->ifa_flags & IFF_LOOPBACK) != 0});
  }
  // Of an interface, IPv4 first: it needs no agreement on scopes.
  std::stable_partition(found.begin(), found.end(),
                        [](const HostAddress& host) { return host.address.find(':') == std::string::npos; });
  return found;
}

std::vector<std::string> Resolve(const std::string& name) {
  addrinfo* list = nullptr;
  const addrinfo hints = {.ai_socktype = SOCK_STREAM};
  if (::getaddrinfo(name.c_str(), nullptr, &hints, &list) != 0) return {};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  std::vector<std::string> addresses;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    addresses.push_back(Numeric(entry->ai_addr));
  }
  return addresses;
}

}  // namespace

absl::StatusOr<std::string> FindExchangeAddress(std::string_view wanted) {
  TESSERA_ASSIGN_OR_RETURN(const std::vector<HostAddress> hosts, HostAddresses());
  if (wanted.empty()) {
    for (const bool loopback : {false, true}) {
      for (const HostAddress& host : hosts) {
        if (host.is_loopback == loopback) return host.address;
      }
    }
  }
  for (const HostAddress& host : hosts) {
    if (host.interface == wanted) return host.address;
  }
  const std::vector<std::string> resolved = wanted.empty() ? std::vector<std::string>() : Resolve(std::string(wanted));
  for (const std::string& address : resolved) {
    for (const HostAddress& host : hosts) {
      if (host.address == address || (host.is_loopback && address.starts_with("127."))) return address;
    }
  }
  std::string known;
  for (const HostAddress& host : hosts) {
    absl::StrAppend(&known, known.empty() ? "" : ", ", host.interface, " (", host.address, ")");
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("exchange address: got '%s', wanted an interface or an address of this host: %s", wanted, known));
}

}  // namespace tessera
