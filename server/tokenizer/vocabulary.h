#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/tokenizer/added_tokens.h"
#include "server/tokenizer/bpe.h"
#include "server/tokenizer/pre_tokenizer.h"

namespace tessera {

// What is wrong with a file, one line each. Keeps the first hundred; a file can be wrong in every entry.
class VocabularyProblems {
 public:
  void Add(std::string problem);

  bool empty() const { return lines_.empty(); }
  // The kept lines, and one more that counts the others.
  std::vector<std::string> Lines() const;
  // The first line and how many more there are.
  std::string Summary() const;

 private:
  std::vector<std::string> lines_;
  int64_t num_dropped_ = 0;
};

// The content of tokenizer.json.
struct Vocabulary {
  struct Token {
    std::string bytes;
    bool exists = false;
    bool is_added = false;
    bool is_special = false;
  };

  std::vector<Token> tokens;  // by id; ids may have gaps
  AddedTokens added;
  Bpe bpe;
  PreTokenizer pre_tokenizer;
  std::optional<std::string> template_bos;  // content of the token that the post-processor puts first, if it does
};

// Refuses what an encoder would have to guess about or that other software would do differently: every part of the file
// is either as in DeepSeek's own files or named in `problems`. nullopt: there are problems.
std::optional<Vocabulary> ParseVocabulary(std::string_view json, VocabularyProblems& problems);

}  // namespace tessera
