#include "server/testing/test_tokenizer.h"

#include <array>
#include <nlohmann/json.hpp>
#include <string>

#include "base/check.h"

namespace tessera {
namespace {

constexpr std::array kControlTokens = {
    "<｜begin▁of▁sentence｜>",
    "<｜end▁of▁sentence｜>",
    "<｜User｜>",
    "<｜Assistant｜>",
    "<think>",
    "</think>",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁sep｜>",
    "<｜tool▁outputs▁begin｜>",
    "<｜tool▁outputs▁end｜>",
    "<｜tool▁output▁begin｜>",
    "<｜tool▁output▁end｜>",
};

std::string Utf8(int code_point) {
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  return {static_cast<char>(0xC0 | (code_point >> 6)), static_cast<char>(0x80 | (code_point & 0x3F))};
}

// The printable stand-in of a byte in tokenizer.json.
std::string StandIn(int byte, int& num_moved) {
  const bool is_printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
  return Utf8(is_printable ? byte : 0x100 + num_moved++);
}

}  // namespace

std::unique_ptr<const Tokenizer> MakeTestTokenizer() {
  nlohmann::json vocab = nlohmann::json::object();
  int num_moved = 0;
  for (int byte = 0; byte < 256; ++byte) vocab[StandIn(byte, num_moved)] = byte;
  nlohmann::json added = nlohmann::json::array();
  int id = 256;
  for (const char* content : kControlTokens) {
    const bool is_special = id < 258;
    added.push_back({{"id", id++},
                     {"content", content},
                     {"special", is_special},
                     {"normalized", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"single_word", false}});
  }
  const nlohmann::json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  const nlohmann::json file = {{"version", "1.0"},
                               {"truncation", nullptr},
                               {"padding", nullptr},
                               {"added_tokens", added},
                               {"normalizer", {{"type", "Sequence"}, {"normalizers", nlohmann::json::array()}}},
                               {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {byte_level}}}},
                               {"post_processor", byte_level},
                               {"decoder", byte_level},
                               {"model",
                                {{"type", "BPE"},
                                 {"dropout", nullptr},
                                 {"unk_token", nullptr},
                                 {"fuse_unk", false},
                                 {"byte_fallback", false},
                                 {"vocab", vocab},
                                 {"merges", nlohmann::json::array()}}}};
  auto tokenizer = Tokenizer::FromJson(
      file.dump(), {.bos_token = kControlTokens[0], .eos_token = kControlTokens[1], .add_bos_token = true});
  TESSERA_CHECK_OK(tokenizer.status());
  return *std::move(tokenizer);
}

std::vector<TokenId> Spell(const Tokenizer& tokenizer, std::string_view text) {
  auto ids = tokenizer.Encode(text, SpecialTokens::kParse);
  TESSERA_CHECK_OK(ids.status());
  return *std::move(ids);
}

ChatFormat MakeTestChatFormat(const Tokenizer& tokenizer, std::string_view name) {
  auto format = ChatFormat::Detect("", tokenizer, "deepseek_v3", name);
  TESSERA_CHECK_OK(format.status());
  return *std::move(format);
}

}  // namespace tessera
