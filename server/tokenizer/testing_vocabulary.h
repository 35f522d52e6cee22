#pragma once

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "server/tokenizer/byte_map.h"

namespace tessera {

// For tests: a complete tokenizer.json to be changed in one place. Byte b has id b; merges h+e (256), l+l (257),
// he+ll (258), a+a (259), aa+aa (260); BOS, EOS, <think>, </think>, <｜User｜>, <｜Assistant｜> from 261 on, BOS and
// EOS special.
inline nlohmann::json TestingVocabulary() {
  using Json = nlohmann::json;
  Json vocab = Json::object();
  const ByteMap byte_map;
  for (int byte = 0; byte < 256; ++byte) vocab[byte_map.CharacterOf(static_cast<uint8_t>(byte))] = byte;
  int next = 256;
  for (const char* token : {"he", "ll", "hell", "aa", "aaaa"}) vocab[token] = next++;
  Json added = Json::array();
  for (const char* content :
       {"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<think>", "</think>", "<｜User｜>", "<｜Assistant｜>"}) {
    const bool special = next < 263;
    added.push_back({{"id", next++},
                     {"content", content},
                     {"special", special},
                     {"normalized", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"single_word", false}});
  }
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", R"( ?[\p{L}\p{M}]+|\s+(?!\S)|\s+)"}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  return {{"version", "1.0"},
          {"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}}},
          {"post_processor", {{"type", "ByteLevel"}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model",
           {{"type", "BPE"},
            {"vocab", vocab},
            {"merges", {"h e", "l l", "he ll", "a a", "aa aa"}},
            {"byte_fallback", false}}}};
}

}  // namespace tessera
