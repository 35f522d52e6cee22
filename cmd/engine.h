#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "scheduler/contract/engine_port.h"
#include "scheduler/engine_loop.h"
#include "server/chat/chat_format.h"
#include "server/tokenizer/tokenizer.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/worker_group.h"

namespace CLI {
class App;
}

namespace tessera {

// What the command line says of the engine.
struct EngineOptions {
  int32_t num_ranks = 1;
  int32_t num_threads = 0;  // of all ranks together; 0: one for each core
  std::string precision = "bf16";
  std::string isa = "auto";
  std::string cache_memory;  // of all ranks together, such as "2GiB"; empty: chosen from what is free
  int32_t context_tokens_max = 0;
  int32_t step_tokens_max = 2048;
  int32_t sequences_max = 256;
  int32_t queue_requests_max = 4096;
  bool no_prefix_cache = false;
  int32_t draft_tokens = 0;  // of the MTP module, a step
  bool poison_cache = false;
  std::string chat_format;
};
void AddEngineFlags(CLI::App& app, EngineOptions& options);

// Threads of all ranks together: as given, else one for each core.
int NumThreads(const EngineOptions& options);

// "4096", "512MiB", "2GiB", "1.5GB" in bytes.
absl::StatusOr<int64_t> ParseBytes(const std::string& text);

// A loaded model: tokenizer, worker group and the scheduler that runs it on a thread of its own.
class Engine {
 public:
  // Checks the checkpoint, loads it and runs a first forward pass. Shows progress on stderr. `clock` outlives it.
  static absl::StatusOr<std::unique_ptr<Engine>> Start(const std::string& folder, const EngineOptions& options,
                                                       const Clock& clock);
  ~Engine();

  // Where tokens go. Call once, before anything is submitted.
  void SetSink(TokenSink& sink) { relay_.target = &sink; }

  // Ends open requests with an error and waits for the thread. The sink is not called afterwards.
  void Stop();

  EnginePort& port() { return *loop_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const ChatFormat& chat_format() const { return *chat_format_; }
  const ModelConfig& model() const { return checkpoint_->config(); }

 private:
  // Engine and server need each other; the engine is there first.
  struct TokenRelay final : TokenSink {
    void OnTokens(TokenBatch batch) override {
      if (TokenSink* sink = target) sink->OnTokens(std::move(batch));
    }
    std::atomic<TokenSink*> target = nullptr;
  };

  Engine() = default;

  std::unique_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<const ChatFormat> chat_format_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<InProcessWorkerGroup> worker_;
  TokenRelay relay_;
  std::unique_ptr<EngineLoop> loop_;
  std::thread thread_;
};

// The worker group alone, as Engine makes it: for benchmarks. `valid_vocab`: ids from there on are never sampled.
absl::StatusOr<std::unique_ptr<InProcessWorkerGroup>> LoadWorkerGroup(const Checkpoint& checkpoint,
                                                                      const EngineOptions& options, int32_t valid_vocab,
                                                                      const Clock& clock);

}  // namespace tessera
