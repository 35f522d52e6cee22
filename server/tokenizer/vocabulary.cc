#include "server/tokenizer/vocabulary.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/limits/json_parser.h"
#include "server/tokenizer/byte_map.h"
#include "server/tokenizer/utf8.h"

namespace tessera {
namespace {

// The file itself is bounded; a merge costs three values.
constexpr JsonLimits kJsonLimits{.depth_max = 32, .values_max = 16 << 20, .refuses_repeated_names = true};
constexpr int64_t kTokenIdsMax = 1 << 21;  // far above any vocabulary; bounds the memory that one large id can cost
constexpr size_t kProblemsMax = 100;
constexpr size_t kProblemBytesMax = 400;
constexpr size_t kAddedBytesMax = 1024;
constexpr TokenId kNoToken = -1;

const Json& Member(const Json& object, const char* key) {
  static const Json kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

bool IsFalse(const Json& value) { return value.is_null() || value == false; }
bool IsEmptyText(const Json& value) {
  return value.is_null() || (value.is_string() && value.get_ref<const std::string&>().empty());
}

// Reads one tokenizer.json. The document outlives it, so names are views into it.
class VocabularyReader {
 public:
  VocabularyReader(const Json& document, VocabularyProblems& problems) : document_(document), problems_(problems) {}

  std::optional<Vocabulary> Read() {
    const Json& model = Member(document_, "model");
    if (!model.is_object() || !Member(model, "vocab").is_object() || !Member(model, "merges").is_array()) {
      problems_.Add("model: wanted an object with \"vocab\" (object) and \"merges\" (list)");
      return std::nullopt;
    }
    CheckModel(model);
    CheckSurroundings();
    ReadVocab(Member(model, "vocab"));
    ReadAdded(Member(document_, "added_tokens"));
    Bpe bpe(ReadByteTokens());
    ReadMerges(Member(model, "merges"), bpe);
    absl::StatusOr<PreTokenizer> pre_tokenizer = PreTokenizer::FromJson(Member(document_, "pre_tokenizer"));
    if (!pre_tokenizer.ok()) problems_.Add(std::string(pre_tokenizer.status().message()));
    if (!problems_.empty()) return std::nullopt;
    return Vocabulary{std::move(tokens_), std::move(added_), std::move(bpe), *std::move(pre_tokenizer), TemplateBos()};
  }

 private:
  template <typename... Args>
  void Problem(const absl::FormatSpec<Args...>& format, const Args&... args) {
    problems_.Add(absl::StrFormat(format, args...));
  }

  void CheckModel(const Json& model) {
    const Json& type = Member(model, "type");
    if (!type.is_null() && type != "BPE") Problem("model.type: got %s, wanted \"BPE\"", type.dump());
    for (const char* key : {"byte_fallback", "ignore_merges"}) {
      if (!IsFalse(Member(model, key))) Problem("model.%s: only false is supported", key);
    }
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!IsEmptyText(Member(model, key))) Problem("model.%s: is not supported", key);
    }
    const Json& dropout = Member(model, "dropout");
    if (!dropout.is_null() && dropout != 0.0) Problem("model.dropout: is not supported");
  }

  void CheckSurroundings() {
    const Json& normalizer = Member(document_, "normalizer");
    const bool is_empty_sequence = normalizer.is_object() && Member(normalizer, "type") == "Sequence" &&
                                   Member(normalizer, "normalizers") == Json::array();
    if (!normalizer.is_null() && !is_empty_sequence) {
      Problem("normalizer: only null and an empty Sequence are supported");
    }
    const Json& decoder = Member(document_, "decoder");
    if (!decoder.is_null() && !(decoder.is_object() && Member(decoder, "type") == "ByteLevel")) {
      Problem("decoder: only ByteLevel is supported");
    }
    const Json& post = Member(document_, "post_processor");
    const Json& post_type = post.is_object() ? Member(post, "type") : post;
    if (!post.is_null() && post_type != "ByteLevel" && post_type != "TemplateProcessing" && post_type != "Sequence") {
      Problem("post_processor: only ByteLevel, TemplateProcessing and a Sequence of them are supported");
    }
  }

  // Newer exports put BOS into a TemplateProcessing: {"single": [{"SpecialToken": {"id": "<bos>"}}, …]}.
  std::optional<std::string> TemplateBos() const {
    const Json& post = Member(document_, "post_processor");
    if (!post.is_object()) return std::nullopt;
    Json processors = Member(post, "type") == "Sequence" ? Member(post, "processors") : Json::array({post});
    if (!processors.is_array()) return std::nullopt;
    for (const Json& processor : processors) {
      if (!processor.is_object() || Member(processor, "type") != "TemplateProcessing") continue;
      const Json& single = Member(processor, "single");
      if (!single.is_array() || single.empty() || !single[0].is_object()) continue;
      const Json& special = Member(single[0], "SpecialToken");
      if (special.is_object() && Member(special, "id").is_string()) return Member(special, "id").get<std::string>();
    }
    return std::nullopt;
  }

  // The entry for an id that the file gives, or null after a problem was noted.
  Vocabulary::Token* TokenAt(const Json& id, const std::string& where) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= static_cast<uint64_t>(kTokenIdsMax)) {
      Problem("%s: got id %s, wanted a whole number below %d", where, id.dump(), kTokenIdsMax);
      return nullptr;
    }
    const size_t index = id.get<size_t>();
    if (index >= tokens_.size()) tokens_.resize(index + 1);
    return &tokens_[index];
  }

  void ReadVocab(const Json& vocab) {
    for (const auto& [name, id] : vocab.items()) {
      Vocabulary::Token* token = TokenAt(id, absl::StrCat("model.vocab[\"", name, "\"]"));
      if (token == nullptr) continue;
      if (name.empty()) {
        Problem("model.vocab: id %s has an empty token", id.dump());
      } else if (token->exists) {
        Problem("model.vocab[\"%s\"]: id %s is given to \"%s\" too", name, id.dump(), token->bytes);
      } else {
        token->exists = true;
        token->bytes = name;  // as in the file until ReadMerges is done with the names
        ids_.emplace(name, id.get<TokenId>());
      }
    }
    if (ids_.empty()) Problem("model.vocab: is empty");
    const ByteMap byte_map;
    for (Vocabulary::Token& token : tokens_) {
      // A token with characters outside of the alphabet (special ones, as a rule) stands for itself.
      if (std::optional<std::string> bytes = byte_map.Decode(token.bytes)) token.bytes = *std::move(bytes);
    }
  }

  void ReadAdded(const Json& list) {
    if (list.is_null()) return;
    if (!list.is_array()) return Problem("added_tokens: got %s, wanted a list", list.type_name());
    for (size_t i = 0; i < list.size(); ++i) ReadAddedToken(list[i], absl::StrCat("added_tokens[", i, "]"));
  }

  void ReadAddedToken(const Json& entry, const std::string& where) {
    if (!entry.is_object() || !Member(entry, "content").is_string()) {
      return Problem("%s: wanted an object with \"content\" and \"id\"", where);
    }
    const std::string content = Member(entry, "content").get<std::string>();
    if (content.empty() || content.size() > kAddedBytesMax) {
      return Problem("%s.content: has %d bytes, wanted 1 to %d", where, content.size(), kAddedBytesMax);
    }
    for (const char* key : {"lstrip", "rstrip", "single_word"}) {
      if (!IsFalse(Member(entry, key))) Problem("%s.%s (\"%s\"): only false is supported", where, key, content);
    }
    Vocabulary::Token* token = TokenAt(Member(entry, "id"), absl::StrCat(where, ".id"));
    if (token == nullptr) return;
    const auto id = Member(entry, "id").get<TokenId>();
    const auto in_vocab = ids_.find(content);
    if (in_vocab != ids_.end() && in_vocab->second != id) {
      return Problem("%s: \"%s\" has id %d, in model.vocab it has %d", where, content, id, in_vocab->second);
    }
    if (token->exists && in_vocab == ids_.end()) {
      return Problem("%s: id %d of \"%s\" is given to \"%s\" too", where, id, content, token->bytes);
    }
    if (!added_.Add(content, id)) return Problem("%s: \"%s\" appears twice", where, content);
    *token = {content, true, true, Member(entry, "special") == true};
  }

  std::array<TokenId, 256> ReadByteTokens() {
    std::array<TokenId, 256> byte_ids{};
    const ByteMap byte_map;
    for (int byte = 0; byte < 256; ++byte) {
      const std::string& name = byte_map.CharacterOf(static_cast<uint8_t>(byte));
      const auto found = ids_.find(name);
      byte_ids[static_cast<size_t>(byte)] = found == ids_.end() ? kNoToken : found->second;
      const bool is_in_utf8 = byte != 0xC0 && byte != 0xC1 && byte < 0xF5;  // V2's file lacks the others
      if (found == ids_.end() && is_in_utf8) {
        Problem("model.vocab: no token \"%s\" for byte 0x%02x", name, byte);
      } else if (found != ids_.end() && tokens_[static_cast<size_t>(found->second)].is_added) {
        Problem("added_tokens: \"%s\" is the token of byte 0x%02x, which ordinary text needs", name, byte);
      }
    }
    return byte_ids;
  }

  void ReadMerges(const Json& merges, Bpe& bpe) {
    for (size_t i = 0; i < merges.size(); ++i) {
      const Json& merge = merges[i];
      std::string left;
      std::string right;
      if (merge.is_string()) {
        const auto& text = merge.get_ref<const std::string&>();
        const size_t space = text.find(' ');
        if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
          left = text.substr(0, space);
          right = text.substr(space + 1);
        }
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        left = merge[0].get<std::string>();
        right = merge[1].get<std::string>();
      }
      if (left.empty() || right.empty()) {
        Problem("model.merges[%d]: got %s, wanted \"a b\" or [\"a\", \"b\"]", i,
                merge.dump(-1, ' ', false, Json::error_handler_t::replace));
        continue;
      }
      AddMerge(static_cast<int32_t>(i), left, right, bpe);
    }
  }

  void AddMerge(int32_t rank, const std::string& left, const std::string& right, Bpe& bpe) {
    std::array<TokenId, 3> ids{};
    const std::array<std::string, 3> names = {left, right, left + right};
    for (size_t part = 0; part < names.size(); ++part) {
      const auto found = ids_.find(names[part]);
      if (found == ids_.end()) {
        return Problem("model.merges[%d] (\"%s\" + \"%s\"): \"%s\" is not in model.vocab", rank, left, right,
                       names[part]);
      }
      ids[part] = found->second;
    }
    // Text that spells an added token is cut out before BPE, or must not become that token: such a merge never applies.
    if (tokens_[static_cast<size_t>(ids[2])].is_added) return;
    if (!bpe.AddMerge(ids[0], ids[1], {rank, ids[2]})) {
      Problem("model.merges[%d] (\"%s\" + \"%s\"): appears twice", rank, left, right);
    }
  }

  const Json& document_;
  VocabularyProblems& problems_;
  std::vector<Vocabulary::Token> tokens_;
  absl::flat_hash_map<std::string, TokenId> ids_;  // of model.vocab, by the name in the file
  AddedTokens added_;
};

}  // namespace

void VocabularyProblems::Add(std::string problem) {
  if (lines_.size() == kProblemsMax) {
    ++num_dropped_;
    return;
  }
  if (problem.size() > kProblemBytesMax) {
    problem.resize(ValidUtf8Prefix(std::string_view(problem).substr(0, kProblemBytesMax)));
    problem += "…";
  }
  for (char& c : problem) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';  // names from the file may hold terminal escapes
  }
  lines_.push_back(std::move(problem));
}

std::vector<std::string> VocabularyProblems::Lines() const {
  std::vector<std::string> lines = lines_;
  if (num_dropped_ > 0) lines.push_back(absl::StrCat("and ", num_dropped_, " more"));
  return lines;
}

std::string VocabularyProblems::Summary() const {
  if (lines_.empty()) return std::string();
  const int64_t others = static_cast<int64_t>(lines_.size()) - 1 + num_dropped_;
  return others == 0 ? lines_[0] : absl::StrCat(lines_[0], " (and ", others, " more)");
}

std::optional<Vocabulary> ParseVocabulary(std::string_view json, VocabularyProblems& problems) {
  const absl::StatusOr<Json> document = ParseJson(json, kJsonLimits);
  if (!document.ok()) {
    problems.Add(std::string(document.status().message()));
    return std::nullopt;
  }
  if (!document->is_object()) {
    problems.Add("not a JSON object");
    return std::nullopt;
  }
  return VocabularyReader(*document, problems).Read();
}

}  // namespace tessera
