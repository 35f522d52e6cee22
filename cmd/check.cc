// tessera check: everything that can be wrong with a checkpoint folder, found in seconds and without loading it.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "cmd/subcommand.h"
#include "server/chat/chat_format.h"
#include "server/tokenizer/tokenizer.h"
#include "worker/checkpoint/check_checkpoint.h"

namespace tessera {
namespace {

// Adds what is wrong with the tokenizer and the chat template. Weights can be served without either only by token ids,
// which no server of ours does, so both are required.
void CheckText(const std::string& folder, CheckReport& report) {
  std::optional<int64_t> vocab_size;
  if (report.config.has_value()) vocab_size = report.config->vocab_size;
  for (std::string& problem : Tokenizer::Check(folder, vocab_size)) report.problems.push_back(std::move(problem));
  absl::StatusOr<std::unique_ptr<const Tokenizer>> tokenizer = Tokenizer::Load(folder);
  if (!tokenizer.ok()) return;  // Check has said why
  const std::string model_type = report.config.has_value() ? report.config->model_type : "";
  const absl::StatusOr<ChatFormat> format =
      ChatFormat::Detect((*tokenizer)->config().chat_template, **tokenizer, model_type);
  if (!format.ok()) {
    report.warnings.push_back("chat format: " + std::string(format.status().message()) +
                              " (choose one with --chat-format, or serve completions only)");
  }
}

int Check(const std::string& folder) {
  CheckReport report = CheckCheckpoint(folder);
  CheckText(folder, report);
  std::cout << ToText(report);
  return report.ok() ? 0 : 1;
}

}  // namespace

void AddCheck(CLI::App& app, Runner* run) {
  auto folder = std::make_shared<std::string>();
  CLI::App* check = app.add_subcommand(
      "check", "List everything wrong with a checkpoint folder, without loading it; exit code 1 if there is anything");
  check->add_option("MODEL", *folder, "Checkpoint folder in Hugging Face form")->required();
  check->callback([folder, run] { *run = [folder] { return Check(*folder); }; });
}

}  // namespace tessera
