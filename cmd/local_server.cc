#include "cmd/local_server.h"

#include <spdlog/spdlog.h>

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

// "models/demo/" → "demo".
std::string FolderName(const std::string& folder) {
  std::error_code error;
  std::filesystem::path path = std::filesystem::weakly_canonical(folder, error);
  if (error) path = folder;
  return path.filename().empty() ? "model" : path.filename().string();
}

absl::Status ReadBodyMemory(const std::string& body_memory, HttpConfig& http) {
  if (body_memory.empty()) return absl::OkStatus();
  const absl::StatusOr<int64_t> bytes = ParseBytes(body_memory);
  if (!bytes.ok() || *bytes < http.body_bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--body-memory: got '%s', wanted a size such as 512MiB, at least the %d MiB of one body",
                        body_memory, http.body_bytes_max >> 20));
  }
  http.bodies_bytes_max = *bytes;
  return absl::OkStatus();
}

// What the checkpoint says of the server.
void FillFromModel(const std::string& folder, const LocalServerOptions& options, const Engine& engine,
                   ServerConfig& config) {
  const ModelConfig& model = engine.model();
  config.service.model_name = options.model_name.empty() ? FolderName(folder) : options.model_name;
  if (!options.model_name.empty()) config.service.model_aliases.push_back(FolderName(folder));
  config.service.eos_tokens = model.eos_token_ids;
  if (config.service.eos_tokens.empty() && engine.tokenizer().eos_id().has_value()) {
    config.service.eos_tokens.push_back(*engine.tokenizer().eos_id());
  }
  config.service.default_temperature = model.default_temperature.value_or(config.service.default_temperature);
  config.service.default_top_p = model.default_top_p.value_or(config.service.default_top_p);
  config.http.system_fingerprint = absl::StrCat("tessera-", options.engine.precision, "-", options.engine.isa);
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalServer>> LocalServer::Start(const std::string& folder,
                                                                const LocalServerOptions& options) {
  auto local = std::unique_ptr<LocalServer>(new LocalServer());
  ServerConfig config{.api_keys = options.api_keys, .access_log = options.access_log};
  TESSERA_RETURN_IF_ERROR(ReadBodyMemory(options.body_memory, config.http));  // before minutes are spent on loading
  TESSERA_ASSIGN_OR_RETURN(local->engine_, Engine::Start(folder, options.engine, local->clock_));
  Engine& engine = *local->engine_;
  FillFromModel(folder, options, engine, config);
  TESSERA_ASSIGN_OR_RETURN(
      local->server_, Server::Create(config, engine.tokenizer(), engine.chat_format(), engine.port(), local->clock_));
  engine.SetSink(local->server_->token_sink());
  TESSERA_ASSIGN_OR_RETURN(local->addresses_, local->server_->Start(options.http_address, options.grpc_address));
  return local;
}

bool LocalServer::Stop(absl::Duration grace) {
  const bool all_ended = server_->Stop(grace);
  engine_->Stop();
  return all_ended;
}

LocalServer::~LocalServer() {
  if (server_ != nullptr) server_->Stop(absl::ZeroDuration());
  if (engine_ != nullptr) engine_->Stop();
}

}  // namespace tessera
