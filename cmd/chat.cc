// tessera chat: a conversation in the terminal, with a running server or with a model that it serves itself.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"
#include "cmd/http_client.h"
#include "cmd/interrupts.h"
#include "cmd/local_server.h"
#include "cmd/subcommand.h"

namespace tessera {
namespace {

using nlohmann::json;

struct ChatOptions {
  std::string target;
  std::string once;
  std::string system;
  std::string api_key;
  int max_tokens = 0;
  double temperature = -1;
  bool hide_thinking = false;
  LocalServerOptions local;
};

constexpr std::string_view kHelp =
    "/clear  forget the conversation      /system TEXT  set the system message      /quit  leave (or Ctrl-D)\n"
    "Ctrl-C stops an answer.\n";

// Prints an answer as it comes: thinking dimmed, then the content.
class AnswerPrinter {
 public:
  explicit AnswerPrinter(bool hide_thinking) : hide_thinking_(hide_thinking), colors_(isatty(STDOUT_FILENO) != 0) {}

  void Thinking(std::string_view text) {
    if (hide_thinking_) return;
    if (!thinking_ && colors_) std::cout << "\033[2m";
    thinking_ = true;
    std::cout << text << std::flush;
  }

  void Content(std::string_view text) {
    EndThinking("\n\n");
    content_.append(text);
    std::cout << text << std::flush;
  }

  void End() {
    EndThinking("");
    std::cout << std::endl;
  }

  const std::string& content() const { return content_; }

 private:
  void EndThinking(std::string_view separator) {
    if (!thinking_) return;
    thinking_ = false;
    if (colors_) std::cout << "\033[0m";
    std::cout << separator;
  }

  const bool hide_thinking_;
  const bool colors_;
  bool thinking_ = false;
  std::string content_;
};

class Conversation {
 public:
  Conversation(ServerAddress server, std::string model, const ChatOptions& options, Interrupts& interrupts)
      : server_(std::move(server)), model_(std::move(model)), options_(options), interrupts_(interrupts) {
    system_ = options.system;
  }

  // Asks and prints the answer. Ctrl-C keeps what has come so far.
  absl::Status Ask(const std::string& question) {
    messages_.push_back({{"role", "user"}, {"content", question}});
    AnswerPrinter printer(options_.hide_thinking);
    std::string failure;
    CallStopper stopper;
    interrupts_.Handle([&stopper](int) { stopper.Stop(); });
    const absl::Status status =
        HttpPostEvents(server_, "/v1/chat/completions", options_.api_key, Body().dump(), stopper,
                       [&](std::string_view data) { OnEvent(data, printer, failure); });
    interrupts_.Handle({});
    printer.End();
    messages_.push_back({{"role", "assistant"}, {"content", printer.content()}});
    if (!status.ok() && !stopper.stopped()) {
      messages_.erase(messages_.end() - 2, messages_.end());
      return status;
    }
    return failure.empty() ? absl::OkStatus() : absl::InternalError(failure);
  }

  void Clear() { messages_ = json::array(); }
  void SetSystem(std::string text) { system_ = std::move(text); }

 private:
  json Body() const {
    json messages = json::array();
    if (!system_.empty()) messages.push_back({{"role", "system"}, {"content", system_}});
    for (const json& message : messages_) messages.push_back(message);
    json body = {{"model", model_}, {"stream", true}, {"messages", std::move(messages)}};
    if (options_.max_tokens > 0) body["max_tokens"] = options_.max_tokens;
    if (options_.temperature >= 0) body["temperature"] = options_.temperature;
    return body;
  }

  static void OnEvent(std::string_view data, AnswerPrinter& printer, std::string& failure) {
    const json event = json::parse(data, nullptr, /*allow_exceptions=*/false);
    if (!event.is_object()) return;
    if (const auto error = event.find("error"); error != event.end()) {
      failure = error->is_object() ? error->value("message", "unknown error") : error->dump();
      return;
    }
    const auto choices = event.find("choices");
    if (choices == event.end() || !choices->is_array() || choices->empty()) return;
    const json delta = (*choices)[0].value("delta", json::object());
    if (const auto text = delta.find("reasoning_content"); text != delta.end() && text->is_string()) {
      printer.Thinking(text->get_ref<const std::string&>());
    }
    if (const auto text = delta.find("content"); text != delta.end() && text->is_string()) {
      if (!text->get_ref<const std::string&>().empty()) printer.Content(text->get_ref<const std::string&>());
    }
  }

  const ServerAddress server_;
  const std::string model_;
  const ChatOptions& options_;
  Interrupts& interrupts_;
  std::string system_;
  json messages_ = json::array();
};

// The name of the first model that the server lists.
absl::StatusOr<std::string> ModelName(const ServerAddress& server, const std::string& api_key) {
  absl::StatusOr<std::string> body = HttpGet(server, "/v1/models", api_key);
  if (!body.ok()) return body.status();
  const json models = json::parse(*body, nullptr, /*allow_exceptions=*/false);
  if (models.is_object() && models.contains("data") && models["data"].is_array() && !models["data"].empty() &&
      models["data"][0].is_object() && models["data"][0].contains("id") && models["data"][0]["id"].is_string()) {
    return models["data"][0]["id"].get<std::string>();
  }
  return absl::UnavailableError(absl::StrCat("/v1/models: lists no model: ", *body));
}

void ReadLoop(Conversation& conversation) {
  std::string line;
  while (std::cout << "\033[1m> \033[0m" << std::flush && std::getline(std::cin, line)) {
    if (line.empty()) continue;
    if (line == "/quit" || line == "/exit") return;
    if (line == "/clear") {
      conversation.Clear();
    } else if (line.rfind("/system ", 0) == 0) {
      conversation.SetSystem(line.substr(8));
    } else if (line == "/help") {
      std::cout << kHelp;
    } else if (const absl::Status status = conversation.Ask(line); !status.ok()) {
      std::cerr << "tessera chat: " << status.ToString() << std::endl;
    }
  }
  std::cout << std::endl;
}

int Chat(const ChatOptions& options) {
  Interrupts interrupts({SIGINT});
  std::unique_ptr<LocalServer> local;
  std::string url = options.target;
  if (url.rfind("http://", 0) != 0) {
    TESSERA_CHECK_OK(SetUpLog("warn", "text"));
    absl::StatusOr<std::unique_ptr<LocalServer>> started = LocalServer::Start(options.target, options.local);
    if (!started.ok()) {
      std::cerr << "tessera chat: " << started.status().message() << std::endl;
      return 1;
    }
    local = *std::move(started);
    url = absl::StrCat("http://", local->http_address());
  }
  absl::StatusOr<ServerAddress> server = ServerAddress::Parse(url);
  absl::StatusOr<std::string> model = server.ok() ? ModelName(*server, options.api_key) : server.status();
  if (!model.ok()) {
    std::cerr << "tessera chat: " << model.status().message() << std::endl;
    return 1;
  }
  Conversation conversation(*std::move(server), *std::move(model), options, interrupts);
  if (!options.once.empty()) {
    const absl::Status status = conversation.Ask(options.once);
    if (!status.ok()) std::cerr << "tessera chat: " << status.message() << std::endl;
    return status.ok() ? 0 : 1;
  }
  std::cout << kHelp;
  ReadLoop(conversation);
  return 0;
}

}  // namespace

void AddChat(CLI::App& app, Runner* run) {
  auto options = std::make_shared<ChatOptions>();
  CLI::App* chat = app.add_subcommand("chat", "Talk to a model in the terminal");
  chat->add_option("TARGET", options->target, "A running server, http://HOST:PORT, or a checkpoint folder")->required();
  chat->add_option("--once", options->once, "Ask this one question, print the answer and leave");
  chat->add_option("--system", options->system, "System message");
  chat->add_option("--max-tokens", options->max_tokens, "Tokens of an answer at most (default: the context's rest)");
  chat->add_option("--temperature", options->temperature, "0 to 2 (default: the checkpoint's)");
  chat->add_option("--api-key", options->api_key, "Key of the server")->envname("TESSERA_API_KEY");
  chat->add_flag("--hide-thinking", options->hide_thinking, "Show the answer only");
  AddEngineFlags(*chat, options->local.engine);
  chat->callback([options, run] { *run = [options] { return Chat(*options); }; });
}

}  // namespace tessera
