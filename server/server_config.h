#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/grpc/grpc_config.h"
#include "server/http/http_config.h"
#include "server/session/service_config.h"

namespace tessera {

struct ServerConfig {
  ServiceConfig service;
  HttpConfig http;
  GrpcConfig grpc;
  std::vector<std::string> api_keys;  // of both transports; empty: no key is asked for
  bool access_log = true;             // a line of the log for each request that is over
  int num_prompt_threads = 2;         // parse, render and tokenize prompts
  int prompts_waiting_max = 256;      // that many may wait for those threads; more are told to come again

  absl::Status Validate() const;
};

}  // namespace tessera
