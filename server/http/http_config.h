#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tessera {

struct HttpConfig {
  int num_io_threads = 2;
  int32_t connections_max = 4096;                          // more are answered with 503 and closed
  int64_t header_bytes_max = 16 << 10;                     // of one request
  int64_t body_bytes_max = 16 << 20;                       // of one request
  int64_t bodies_bytes_max = 256 << 20;                    // of all that arrive, are parsed or tokenized; more: 503
  absl::Duration receive_timeout = absl::Seconds(60);      // of a request, from its first byte to its last
  absl::Duration idle_timeout = absl::Seconds(75);         // between requests of a connection
  absl::Duration write_timeout = absl::Seconds(30);        // without a byte taken by the client
  absl::Duration keep_alive_interval = absl::Seconds(10);  // without anything to send to a waiting client
  std::string system_fingerprint = "tessera";
  std::string tls_certificate_chain;  // PEM; empty: no TLS
  std::string tls_private_key;        // PEM

  absl::Status Validate() const;
};

}  // namespace tessera
