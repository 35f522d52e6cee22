#include "server/tokenizer/tokenizer.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "server/limits/bounded_file.h"
#include "server/tokenizer/utf8.h"
#include "server/tokenizer/vocabulary.h"

namespace tessera {
namespace {

constexpr int64_t kFileBytesMax = 64 << 20;  // the largest published tokenizer.json have 20 MB
constexpr size_t kTextBytesMax = 1 << 30;    // positions are 32 bits wide
constexpr size_t kCachedBytesMax = 48;       // longer pieces rarely come again

constexpr std::string_view kBosOfDeepSeek = "<｜begin▁of▁sentence｜>";
constexpr std::string_view kEosOfDeepSeek = "<｜end▁of▁sentence｜>";

// A part of a text in which added tokens are looked for.
struct TrustedRange {
  size_t begin = 0;
  size_t end = 0;
};

// One run over one text: the work space, and the tokens of the pieces seen so far, as most words come again.
class EncodeRun {
 public:
  explicit EncodeRun(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  // `text` must outlive the run.
  absl::Status Encode(std::string_view text, std::span<const TrustedRange> trusted) {
    size_t done = 0;
    for (const TrustedRange& range : trusted) {
      const std::string_view searched = text.substr(0, range.end);
      size_t from = range.begin;
      while (const auto match = vocabulary_.added.FindFirst(searched, from)) {
        TESSERA_RETURN_IF_ERROR(EncodeOrdinary(text.substr(done, match->offset - done)));
        ids_.push_back(match->id);
        done = from = match->offset + match->length;
      }
    }
    return EncodeOrdinary(text.substr(done));
  }

  std::vector<TokenId>& ids() { return ids_; }

 private:
  struct CachedPiece {
    size_t begin = 0;  // in ids_
    size_t count = 0;
  };

  absl::Status EncodeOrdinary(std::string_view text) {
    TESSERA_RETURN_IF_ERROR(vocabulary_.pre_tokenizer.Split(text, pieces_));
    for (const std::string_view piece : pieces_) {
      const size_t begin = ids_.size();
      if (piece.size() > kCachedBytesMax) {
        vocabulary_.bpe.Encode(piece, scratch_, ids_);
        continue;
      }
      const auto [entry, is_new] = cache_.try_emplace(piece);
      if (is_new) {
        vocabulary_.bpe.Encode(piece, scratch_, ids_);
        entry->second = {begin, ids_.size() - begin};
      } else {
        for (size_t i = 0; i < entry->second.count; ++i) ids_.push_back(ids_[entry->second.begin + i]);
      }
    }
    return absl::OkStatus();
  }

  const Vocabulary& vocabulary_;
  std::vector<std::string_view> pieces_;
  Bpe::Scratch scratch_;
  absl::flat_hash_map<std::string_view, CachedPiece> cache_;
  std::vector<TokenId> ids_;
};

// The token that the configuration names, or DeepSeek's own if it names none.
std::optional<TokenId> ResolveToken(const Vocabulary& vocabulary, const std::optional<std::string>& configured,
                                    std::string_view fallback, std::string_view key, VocabularyProblems& problems) {
  if (!configured.has_value()) return vocabulary.added.Find(fallback);
  const std::optional<TokenId> id = vocabulary.added.Find(*configured);
  if (!id.has_value()) {
    problems.Add(absl::StrFormat("tokenizer_config.json: %s \"%s\" is not among the added_tokens", key, *configured));
  }
  return id;
}

}  // namespace

struct Tokenizer::Parts {
  Vocabulary vocabulary;
  TokenizerConfig config;
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;

  static std::unique_ptr<const Parts> Make(std::string_view json, TokenizerConfig config,
                                           VocabularyProblems& problems) {
    std::optional<Vocabulary> vocabulary = ParseVocabulary(json, problems);
    if (!vocabulary.has_value()) return nullptr;
    if (!config.bos_token.has_value()) config.bos_token = vocabulary->template_bos;
    if (!config.add_bos_token.has_value()) config.add_bos_token = vocabulary->template_bos.has_value();
    auto parts = std::make_unique<Parts>(Parts{*std::move(vocabulary), std::move(config), {}, {}});
    parts->bos = ResolveToken(parts->vocabulary, parts->config.bos_token, kBosOfDeepSeek, "bos_token", problems);
    parts->eos = ResolveToken(parts->vocabulary, parts->config.eos_token, kEosOfDeepSeek, "eos_token", problems);
    if (*parts->config.add_bos_token && !parts->bos.has_value()) {
      problems.Add("tokenizer_config.json: add_bos_token is true, but there is no BOS token");
    }
    return parts;
  }

  const Vocabulary::Token* Find(TokenId id) const {
    if (id < 0 || static_cast<size_t>(id) >= vocabulary.tokens.size()) return nullptr;
    const Vocabulary::Token& token = vocabulary.tokens[static_cast<size_t>(id)];
    return token.exists ? &token : nullptr;
  }
};

Tokenizer::Tokenizer(std::unique_ptr<const Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::Load(const std::string& folder) {
  TESSERA_ASSIGN_OR_RETURN(TokenizerConfig config, LoadTokenizerConfig(folder));
  const std::string path = absl::StrCat(folder, "/tokenizer.json");
  TESSERA_ASSIGN_OR_RETURN(const std::string json, ReadBoundedFile(path, kFileBytesMax));
  absl::StatusOr<std::unique_ptr<const Tokenizer>> tokenizer = FromJson(json, std::move(config));
  if (!tokenizer.ok()) {
    return absl::Status(tokenizer.status().code(), absl::StrCat(path, ": ", tokenizer.status().message()));
  }
  return tokenizer;
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::FromJson(std::string_view tokenizer_json,
                                                                     TokenizerConfig config) {
  VocabularyProblems problems;
  std::unique_ptr<const Parts> parts = Parts::Make(tokenizer_json, std::move(config), problems);
  if (!problems.empty()) return absl::InvalidArgumentError(problems.Summary());
  return std::unique_ptr<const Tokenizer>(new Tokenizer(std::move(parts)));
}

std::vector<std::string> Tokenizer::Check(const std::string& folder, std::optional<int64_t> vocab_size) {
  std::vector<std::string> lines;
  absl::StatusOr<TokenizerConfig> config = LoadTokenizerConfig(folder);
  if (!config.ok()) lines.emplace_back(config.status().message());
  const std::string path = absl::StrCat(folder, "/tokenizer.json");
  const absl::StatusOr<std::string> json = ReadBoundedFile(path, kFileBytesMax);
  if (!json.ok()) {
    lines.emplace_back(json.status().message());
    return lines;
  }
  VocabularyProblems problems;
  const auto parts = Parts::Make(*json, config.ok() ? *std::move(config) : TokenizerConfig(), problems);
  for (const std::string& problem : problems.Lines()) lines.push_back(absl::StrCat(path, ": ", problem));
  if (parts != nullptr && vocab_size.has_value()) {
    const auto num_ids = static_cast<int64_t>(parts->vocabulary.tokens.size());
    if (num_ids > *vocab_size) {
      lines.push_back(
          absl::StrFormat("%s: highest token id is %d, config.json has vocab_size %d", path, num_ids - 1, *vocab_size));
    }
  }
  return lines;
}

absl::StatusOr<std::vector<TokenId>> Tokenizer::Encode(std::string_view text, SpecialTokens special) const {
  if (text.size() > kTextBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("text: has %d bytes, at most %d can be tokenized", text.size(), kTextBytesMax));
  }
  std::string repaired;
  if (ValidUtf8Prefix(text) != text.size()) {
    repaired = RepairUtf8(text);
    text = repaired;
  }
  EncodeRun run(parts_->vocabulary);
  const TrustedRange whole = {0, text.size()};
  const bool is_trusted = special == SpecialTokens::kParse;
  TESSERA_RETURN_IF_ERROR(run.Encode(text, std::span(&whole, is_trusted ? 1 : 0)));
  return std::move(run.ids());
}

absl::StatusOr<std::vector<TokenId>> Tokenizer::EncodeSegments(std::span<const TextSegment> segments) const {
  std::string joined;
  std::vector<TrustedRange> trusted;
  for (const TextSegment& segment : segments) {
    const size_t begin = joined.size();
    if (ValidUtf8Prefix(segment.text) == segment.text.size()) {
      joined += segment.text;
    } else {
      joined += RepairUtf8(segment.text);
    }
    if (joined.size() > kTextBytesMax) {
      return absl::InvalidArgumentError(
          absl::StrFormat("text: has more than %d bytes, which is the most that can be tokenized", kTextBytesMax));
    }
    if (segment.special == SpecialTokens::kParse) trusted.push_back({begin, joined.size()});
  }
  EncodeRun run(parts_->vocabulary);
  TESSERA_RETURN_IF_ERROR(run.Encode(joined, trusted));
  return std::move(run.ids());
}

absl::StatusOr<std::vector<TokenId>> Tokenizer::EncodeRawPrompt(std::string_view text,
                                                                std::optional<bool> add_bos) const {
  TESSERA_ASSIGN_OR_RETURN(std::vector<TokenId> ids, Encode(text, SpecialTokens::kParse));
  const bool wants_bos = add_bos.value_or(*parts_->config.add_bos_token) && parts_->bos.has_value();
  if (wants_bos && (ids.empty() || ids[0] != *parts_->bos)) ids.insert(ids.begin(), *parts_->bos);
  return ids;
}

std::string Tokenizer::Decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string bytes;
  for (const TokenId id : ids) {
    const Vocabulary::Token* token = parts_->Find(id);
    if (token != nullptr && !(skip_special && token->is_special)) bytes += token->bytes;
  }
  return ValidUtf8Prefix(bytes) == bytes.size() ? bytes : RepairUtf8(bytes);
}

std::string_view Tokenizer::TokenBytes(TokenId id) const {
  const Vocabulary::Token* token = parts_->Find(id);
  return token == nullptr ? std::string_view() : std::string_view(token->bytes);
}

bool Tokenizer::HasToken(TokenId id) const { return parts_->Find(id) != nullptr; }

bool Tokenizer::IsAdded(TokenId id) const {
  const Vocabulary::Token* token = parts_->Find(id);
  return token != nullptr && token->is_added;
}

bool Tokenizer::IsSpecial(TokenId id) const {
  const Vocabulary::Token* token = parts_->Find(id);
  return token != nullptr && token->is_special;
}

std::optional<TokenId> Tokenizer::FindAdded(std::string_view content) const {
  return parts_->vocabulary.added.Find(content);
}

std::optional<TokenId> Tokenizer::bos_id() const { return parts_->bos; }
std::optional<TokenId> Tokenizer::eos_id() const { return parts_->eos; }
int32_t Tokenizer::num_ids() const { return static_cast<int32_t>(parts_->vocabulary.tokens.size()); }
const TokenizerConfig& Tokenizer::config() const { return parts_->config; }

}  // namespace tessera
