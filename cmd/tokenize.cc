// tessera tokenize: text to token ids and back, as the server does it.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "cmd/subcommand.h"
#include "server/tokenizer/tokenizer.h"

namespace tessera {
namespace {

using nlohmann::json;

struct TokenizeOptions {
  std::string folder;
  std::string text;
  std::string file;
  bool parse_special = false;
  bool ids_only = false;
  bool decode = false;
};

void PrintTokens(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  for (const TokenId id : ids) {
    const json piece = tokenizer.Decode({&id, 1}, /*skip_special=*/false);
    std::cout << absl::StrFormat("%7d  %s\n", id, piece.dump());
  }
  std::cout << absl::StrFormat("%d tokens\n", ids.size());
}

absl::Status Encode(const Tokenizer& tokenizer, const TokenizeOptions& options, const std::string& text) {
  const auto special = options.parse_special ? SpecialTokens::kParse : SpecialTokens::kAsText;
  absl::StatusOr<std::vector<TokenId>> ids = tokenizer.Encode(text, special);
  if (!ids.ok()) return ids.status();
  if (options.ids_only) {
    std::cout << json(*ids).dump() << '\n';
  } else {
    PrintTokens(tokenizer, *ids);
  }
  return absl::OkStatus();
}

absl::Status Line(const Tokenizer& tokenizer, const TokenizeOptions& options, const std::string& line) {
  const json value = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!options.decode) {
    if (!value.is_string()) return absl::InvalidArgumentError("wanted a JSON string on each line");
    return Encode(tokenizer, options, value.get_ref<const std::string&>());
  }
  if (!value.is_array()) return absl::InvalidArgumentError("wanted a JSON array of token ids on each line");
  std::vector<TokenId> ids;
  for (const json& id : value) {
    if (!id.is_number_integer()) return absl::InvalidArgumentError("wanted a JSON array of token ids on each line");
    ids.push_back(id.get<TokenId>());
  }
  std::cout << json(tokenizer.Decode(ids, /*skip_special=*/false)).dump() << '\n';
  return absl::OkStatus();
}

absl::Status Tokenize(const TokenizeOptions& options) {
  TESSERA_ASSIGN_OR_RETURN(const std::unique_ptr<const Tokenizer> tokenizer, Tokenizer::Load(options.folder));
  if (options.file.empty()) return Encode(*tokenizer, options, options.text);
  std::ifstream opened;
  if (options.file != "-") {
    opened.open(options.file);
    if (!opened) return absl::NotFoundError(absl::StrFormat("%s: cannot be read", options.file));
  }
  std::istream& input = options.file == "-" ? std::cin : opened;
  std::string line;
  for (int number = 1; std::getline(input, line); ++number) {
    if (const absl::Status status = Line(*tokenizer, options, line); !status.ok()) {
      return absl::Status(status.code(), absl::StrFormat("%s:%d: %s", options.file, number, status.ToString()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

void AddTokenize(CLI::App& app, Runner* run) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* tokenize = app.add_subcommand("tokenize", "Show the token ids of a text, as the server would make them");
  tokenize->add_option("MODEL", options->folder, "Checkpoint folder; only its tokenizer files are read")->required();
  tokenize->add_option("TEXT", options->text, "The text");
  tokenize->add_option("--file", options->file, "Instead of TEXT: a file with one JSON string a line; - is stdin");
  tokenize->add_flag("--ids", options->ids_only, "Print a JSON array of ids for each text, and nothing else");
  tokenize->add_flag("--parse-special", options->parse_special,
                     "Text such as <think> becomes the control token, as in a template; else it stays text, as in a "
                     "message");
  tokenize->add_flag("--decode", options->decode, "With --file: lines are arrays of ids, and texts are printed");
  tokenize->callback([options, run] {
    *run = [options] {
      const absl::Status status = Tokenize(*options);
      if (!status.ok()) std::cerr << "tessera tokenize: " << status.message() << std::endl;
      return status.ok() ? 0 : 1;
    };
  });
}

}  // namespace tessera
