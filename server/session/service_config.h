#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/ids.h"

namespace tessera {

// What is the same for every request of a server.
struct ServiceConfig {
  std::string model_name = "model";        // in answers; accepted in requests
  std::vector<std::string> model_aliases;  // also accepted
  std::vector<TokenId> eos_tokens;         // end a generation unless ignore_eos
  float default_temperature = 1;           // these four: the checkpoint's generation_config
  float default_top_p = 1;
  int32_t default_top_k = 0;
  float default_repetition_penalty = 1;
  bool default_thinking = false;  // of models with a switch
  int32_t choices_max = 128;      // prompts · n of one request
  int32_t stop_strings_max = 16;
  int64_t stop_bytes_max = 64 << 10;                          // of all stop strings of a request
  int64_t client_buffer_bytes_max = 1 << 20;                  // events that a client may leave unread before it is cut
  int32_t num_stream_threads = 2;                             // detokenize and parse the running streams
  absl::Duration request_timeout = absl::InfiniteDuration();  // of a request from arrival to end

  absl::Status Validate() const;
};

}  // namespace tessera
