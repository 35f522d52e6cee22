// tessera serve: server, scheduler and worker in one process, until a signal.
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/synchronization/notification.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "cmd/interrupts.h"
#include "cmd/local_server.h"
#include "cmd/subcommand.h"

namespace tessera {
namespace {

struct ServeOptions {
  std::string folder;
  LocalServerOptions local;
  std::string api_key_file;
  std::string port_file;
  std::string log_level = "info";
  std::string log_format = "text";
  double grace_seconds = 30;
};

// One key a line; blank lines and lines that begin with # are skipped.
absl::Status ReadApiKeys(const std::string& path, std::vector<std::string>& keys) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrFormat("--api-key-file: %s cannot be read", path));
  for (std::string line; std::getline(file, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty() && line.front() != '#') keys.push_back(line);
  }
  if (keys.empty()) return absl::InvalidArgumentError(absl::StrFormat("--api-key-file: %s holds no key", path));
  return absl::OkStatus();
}

// Appears whole or not at all, so that whoever waits for it never reads half.
absl::Status WritePortFile(const std::string& path, const LocalServer& server) {
  const std::string partial = path + ".partial";
  std::ofstream file(partial);
  file << nlohmann::json({{"http", server.http_address()}, {"grpc", server.grpc_address()}}).dump() << '\n';
  file.close();
  if (!file || std::rename(partial.c_str(), path.c_str()) != 0) {
    return absl::UnavailableError(absl::StrFormat("--port-file: %s cannot be written", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Serve(ServeOptions options, Interrupts& interrupts) {
  TESSERA_RETURN_IF_ERROR(SetUpLog(options.log_level, options.log_format));
  if (!options.api_key_file.empty()) {
    TESSERA_RETURN_IF_ERROR(ReadApiKeys(options.api_key_file, options.local.api_keys));
  }
  // While loading there is nothing to finish: the first signal ends the process.
  interrupts.Handle([](int signal) {
    spdlog::info("signal {} while loading: leaving", signal);
    std::_Exit(0);
  });
  TESSERA_ASSIGN_OR_RETURN(const std::unique_ptr<LocalServer> server,
                           LocalServer::Start(options.folder, options.local));

  absl::Notification stop;
  interrupts.Handle([&stop](int signal) {
    if (stop.HasBeenNotified()) {
      spdlog::warn("signal {} again: leaving at once", signal);
      std::_Exit(1);
    }
    stop.Notify();
  });
  spdlog::info("ready: http://{}{}", server->http_address(),
               server->grpc_address().empty() ? "" : ", gRPC " + server->grpc_address());
  if (!options.port_file.empty()) TESSERA_RETURN_IF_ERROR(WritePortFile(options.port_file, *server));
  stop.WaitForNotification();
  spdlog::info("stopping: no new requests; running ones have {:.0f} s", options.grace_seconds);
  const bool all_ended = server->Stop(absl::Seconds(options.grace_seconds));
  spdlog::info("stopped{}", all_ended ? "" : "; some requests were cut");
  return all_ended;
}

void AddFlags(CLI::App& serve, ServeOptions& options) {
  serve.add_option("MODEL", options.folder, "Checkpoint folder in Hugging Face form")->required();
  serve.add_option("--http", options.local.http_address, "HOST:PORT of the HTTP API (port 0: any free one)")
      ->default_str("127.0.0.1:8000");
  serve.add_option("--grpc", options.local.grpc_address, "HOST:PORT of the gRPC API (default: none)");
  serve.add_option("--model-name", options.local.model_name, "Name in the API (default: the folder's)");
  serve.add_option("--api-key-file", options.api_key_file, "File with one key a line; without it no key is asked for");
  serve.add_option("--body-memory", options.local.body_memory,
                   "HTTP request bodies of all clients that may be held at once, while they arrive and until they are "
                   "tokenized, e.g. 1GiB; more are answered with 503 (default: 256MiB)");
  serve.add_option("--port-file", options.port_file,
                   "Write the addresses really bound to this file, as JSON, when ready");
  serve
      .add_option("--grace-seconds", options.grace_seconds,
                  "Time that running requests have after a signal (default: 30)")
      ->check(CLI::NonNegativeNumber);
  serve.add_option("--log-level", options.log_level, "trace, debug, info (default), warn, error or off");
  serve.add_option("--log-format", options.log_format, "text (default) or json");
  serve.add_flag("--access-log,!--no-access-log", options.local.access_log,
                 "Log a line at level info for each request that is over: who, what, how it ended, tokens and times, "
                 "never text or keys (default: on)");
  AddEngineFlags(serve, options.local.engine);
}

}  // namespace

void AddServe(CLI::App& app, Runner* run) {
  auto options = std::make_shared<ServeOptions>();
  options->local.http_address = "127.0.0.1:8000";
  CLI::App* serve = app.add_subcommand("serve", "Serve a model: OpenAI-compatible HTTP API and gRPC API");
  AddFlags(*serve, *options);
  serve->callback([options, run] {
    *run = [options] {
      Interrupts interrupts({SIGINT, SIGTERM});
      const absl::StatusOr<bool> all_ended = Serve(*options, interrupts);
      interrupts.Handle({});
      if (!all_ended.ok()) {
        spdlog::error("{}", std::string(all_ended.status().message()));
        return 1;
      }
      return 0;
    };
  });
}

}  // namespace tessera
