#include "server/tokenizer/split_pattern.h"

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "server/tokenizer/unicode_additions.h"
#include "server/tokenizer/utf8.h"

namespace tessera {
namespace {

constexpr int kUnbounded = -1;
constexpr int kRepeatMax = 1000;
constexpr size_t kRegexBytesMax = 64 << 10;

using Range = std::pair<char32_t, char32_t>;

constexpr std::array<Range, 10> kWhiteSpace = {{{0x9, 0xD},
                                                {0x20, 0x20},
                                                {0x85, 0x85},
                                                {0xA0, 0xA0},
                                                {0x1680, 0x1680},
                                                {0x2000, 0x200A},
                                                {0x2028, 0x2029},
                                                {0x202F, 0x202F},
                                                {0x205F, 0x205F},
                                                {0x3000, 0x3000}}};

struct CharacterSet {
  bool negated = false;
  std::vector<Range> ranges;
  std::string categories;  // letters of \p{..}

  friend bool operator==(const CharacterSet&, const CharacterSet&) = default;
};

struct Item {
  CharacterSet set;
  int min = 1;
  int max = 1;  // kUnbounded: any number

  bool is_unbounded() const { return max == kUnbounded; }
};

struct Alternative {
  std::vector<Item> items;
  std::optional<CharacterSet> not_followed_by;
  bool at_end = false;
};

void AddWhiteSpace(CharacterSet& set) { set.ranges.insert(set.ranges.end(), kWhiteSpace.begin(), kWhiteSpace.end()); }

// Reads the regex from left to right; no construct nests, so there is no recursion.
class Parser {
 public:
  explicit Parser(std::string_view regex) : regex_(regex) {}

  absl::StatusOr<std::vector<Alternative>> Parse() {
    std::vector<Alternative> alternatives(1);
    while (!AtEnd()) {
      if (Take("|")) {
        alternatives.emplace_back();
        continue;
      }
      TESSERA_RETURN_IF_ERROR(ParsePart(alternatives.back()));
    }
    return alternatives;
  }

 private:
  bool AtEnd() const { return position_ == regex_.size(); }
  bool NextIs(std::string_view text) const { return regex_.substr(position_).starts_with(text); }
  bool Take(std::string_view text) {
    if (!NextIs(text)) return false;
    position_ += text.size();
    return true;
  }

  absl::Status Refuse(std::string_view what) const {
    return absl::InvalidArgumentError(absl::StrFormat("regex %s at byte %d: %s", regex_, position_, what));
  }

  char32_t TakeCodePoint() {
    const auto lead = static_cast<uint8_t>(regex_[position_]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    char32_t code_point = length == 1 ? lead : lead & (0x7Fu >> length);
    for (size_t i = 1; i < length; ++i) {
      code_point = (code_point << 6) | (static_cast<uint8_t>(regex_[position_ + i]) & 0x3Fu);
    }
    position_ += length;
    return code_point;
  }

  absl::Status ParsePart(Alternative& alternative) {
    if (alternative.at_end || alternative.not_followed_by.has_value()) {
      return Refuse("nothing is supported after $ or (?!…)");
    }
    if (Take("$")) {
      alternative.at_end = true;
      return absl::OkStatus();
    }
    if (Take("(?!")) {
      TESSERA_ASSIGN_OR_RETURN(alternative.not_followed_by, ParseAtom());
      return Take(")") ? absl::OkStatus() : Refuse("(?!…) is supported with one character or class only");
    }
    Item item;
    TESSERA_ASSIGN_OR_RETURN(item.set, ParseAtom());
    TESSERA_RETURN_IF_ERROR(ParseQuantifier(item));
    alternative.items.push_back(std::move(item));
    return absl::OkStatus();
  }

  absl::StatusOr<CharacterSet> ParseAtom() {
    if (AtEnd()) return Refuse("ends too early");
    CharacterSet set;
    if (Take("[")) {
      set.negated = Take("^");
      while (!Take("]")) TESSERA_RETURN_IF_ERROR(ParseClassMember(set));
      if (set.ranges.empty() && set.categories.empty()) return Refuse("empty class");
      return set;
    }
    if (Take("\\S")) {
      set.negated = true;
      AddWhiteSpace(set);
      return set;
    }
    if (NextIs("\\")) {
      TESSERA_RETURN_IF_ERROR(ParseEscape(set));
      return set;
    }
    if (std::string_view("().*+?{}^]").find(regex_[position_]) != std::string_view::npos) {
      return Refuse("this construct is not supported");
    }
    const char32_t character = TakeCodePoint();
    set.ranges.emplace_back(character, character);
    return set;
  }

  absl::Status ParseClassMember(CharacterSet& set) {
    if (AtEnd()) return Refuse("class without ]");
    if (NextIs("[") || NextIs("&&")) return Refuse("set operations in a class are not supported");
    const size_t ranges_before = set.ranges.size();
    const bool is_escape = NextIs("\\");
    if (is_escape) {
      TESSERA_RETURN_IF_ERROR(ParseEscape(set));
    } else {
      const char32_t character = TakeCodePoint();
      set.ranges.emplace_back(character, character);
    }
    if (!NextIs("-") || NextIs("-]")) return absl::OkStatus();
    Take("-");
    if (set.ranges.size() != ranges_before + 1) return Refuse("a range must begin with a character");
    if (AtEnd() || NextIs("[") || NextIs("\\")) return Refuse("a range must end with a plain character");
    set.ranges.back().second = TakeCodePoint();
    if (set.ranges.back().second < set.ranges.back().first) return Refuse("range in reverse order");
    return absl::OkStatus();
  }

  absl::Status ParseEscape(CharacterSet& set) {
    Take("\\");
    if (AtEnd()) return Refuse("ends in a backslash");
    if (Take("s")) {
      AddWhiteSpace(set);
      return absl::OkStatus();
    }
    if (Take("p{")) {
      for (const char category : std::string_view("LMNPS")) {
        if (!Take(absl::StrCat(std::string(1, category), "}"))) continue;
        set.categories.push_back(category);
        return absl::OkStatus();
      }
      return Refuse("of \\p{…} only L, M, N, P and S are supported");
    }
    char32_t character = static_cast<uint8_t>(regex_[position_]);
    if (character == 'r') {
      character = '\r';
    } else if (character == 'n') {
      character = '\n';
    } else if (character == 't') {
      character = '\t';
    } else if (character >= 0x80 ||
               std::string_view("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ").find(static_cast<char>(character)) ==
                   std::string_view::npos) {
      return Refuse("this escape is not supported");
    }
    ++position_;
    set.ranges.emplace_back(character, character);
    return absl::OkStatus();
  }

  absl::Status ParseQuantifier(Item& item) {
    if (Take("?")) {
      item.min = 0;
    } else if (Take("*")) {
      item.min = 0;
      item.max = kUnbounded;
    } else if (Take("+")) {
      item.max = kUnbounded;
    } else if (Take("{")) {
      TESSERA_ASSIGN_OR_RETURN(item.min, ParseCount());
      item.max = item.min;
      if (Take(",")) {
        TESSERA_ASSIGN_OR_RETURN(item.max, ParseCount());
      }
      if (!Take("}") || item.max < item.min || item.max == 0) return Refuse("bad repeat count");
    } else {
      return absl::OkStatus();
    }
    if (NextIs("?") || NextIs("*") || NextIs("+") || NextIs("{")) {
      return Refuse("lazy, possessive and double quantifiers are not supported");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int> ParseCount() {
    int count = 0;
    const size_t start = position_;
    while (!AtEnd() && regex_[position_] >= '0' && regex_[position_] <= '9') {
      count = count * 10 + (regex_[position_++] - '0');
      if (count > kRepeatMax) return Refuse("repeat count too large");
    }
    if (position_ == start) return Refuse("a repeat count is missing");
    return count;
  }

  std::string_view regex_;
  size_t position_ = 0;
};

bool CanMatchNothing(const Alternative& alternative) {
  for (const Item& item : alternative.items) {
    if (item.min > 0) return false;
  }
  return true;
}

bool IsPlainRun(const Alternative& alternative) {
  return alternative.items.size() == 1 && alternative.items[0].is_unbounded() && alternative.items[0].min <= 1 &&
         !alternative.not_followed_by.has_value() && !alternative.at_end;
}

// An attempt that fails after it has read far, or succeeds but takes little, may be repeated at each of the characters
// that it has read. That can't happen if nothing after the first unbounded item can fail.
bool TakesAllItReads(const Alternative& alternative) {
  if (alternative.not_followed_by.has_value() || alternative.at_end) return false;
  bool seen_unbounded = false;
  for (const Item& item : alternative.items) {
    if (seen_unbounded && item.min > 0) return false;
    seen_unbounded = seen_unbounded || item.is_unbounded();
  }
  return true;
}

// The other linear form is `C*D+|C+(?!S)|C+`: these alternatives read a run of C and perhaps take only a part of it,
// but greedily, so that what is left of the run is taken whole by the last one. Nothing else may come between.
absl::Status CheckLinear(std::string_view regex, const std::vector<Alternative>& alternatives) {
  size_t first = 0;
  while (first < alternatives.size() && TakesAllItReads(alternatives[first])) ++first;
  if (first == alternatives.size()) return absl::OkStatus();
  bool is_linear = IsPlainRun(alternatives.back());
  for (size_t i = first; is_linear && i < alternatives.size(); ++i) {
    const Alternative& alternative = alternatives[i];
    const Item& run = alternative.items[0];
    is_linear =
        run.is_unbounded() && run.set == alternatives.back().items[0].set && run.min <= 1 && !alternative.at_end &&
        (alternative.items.size() == 1 || (alternative.items.size() == 2 && !alternative.not_followed_by.has_value()));
  }
  if (is_linear) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("regex %s: alternative %d may take more than linear time on some texts", regex, first + 1));
}

void AppendRange(Range range, std::string& out) {
  absl::StrAppendFormat(&out, "\\x{%x}", static_cast<uint32_t>(range.first));
  if (range.second != range.first) absl::StrAppendFormat(&out, "-\\x{%x}", static_cast<uint32_t>(range.second));
}

void AppendSet(const CharacterSet& set, std::string& out) {
  absl::StrAppend(&out, set.negated ? "[^" : "[");
  for (const char category : set.categories) {
    absl::StrAppendFormat(&out, "\\p{%c}", category);
  }
  for (const Range& range : set.ranges) AppendRange(range, out);
  for (const char category : set.categories) {
    for (const UnicodeAddition& addition : kUnicodeAdditions) {
      if (addition.category == category) AppendRange({addition.first, addition.last}, out);
    }
  }
  out.push_back(']');
}

void AppendItem(const Item& item, std::string& out) {
  AppendSet(item.set, out);
  if (item.is_unbounded()) {
    out.push_back(item.min == 0 ? '*' : '+');
  } else if (item.min != 1 || item.max != 1) {
    absl::StrAppendFormat(&out, "{%d,%d}", item.min, item.max);
  }
}

}  // namespace

absl::StatusOr<SplitPattern> TranslateSplitPattern(std::string_view regex) {
  if (regex.empty()) return absl::InvalidArgumentError("regex: empty");
  if (regex.size() > kRegexBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("regex: has %d bytes, at most %d are accepted", regex.size(), kRegexBytesMax));
  }
  if (ValidUtf8Prefix(regex) != regex.size()) return absl::InvalidArgumentError("regex: not UTF-8");
  TESSERA_ASSIGN_OR_RETURN(std::vector<Alternative> alternatives, Parser(regex).Parse());
  for (const Alternative& alternative : alternatives) {
    if (CanMatchNothing(alternative)) {
      return absl::InvalidArgumentError(absl::StrFormat("regex %s: may match nothing", regex));
    }
  }
  SplitPattern pattern;
  if (alternatives.size() == 1 && alternatives[0].at_end) {
    alternatives[0].at_end = false;
    pattern.only_at_end = true;
    if (!IsPlainRun(alternatives[0])) {
      return absl::InvalidArgumentError(
          absl::StrFormat("regex %s: $ is supported after one repeated class only", regex));
    }
  }
  TESSERA_RETURN_IF_ERROR(CheckLinear(regex, alternatives));
  for (const Alternative& alternative : alternatives) {
    if (!pattern.pcre2.empty()) pattern.pcre2.push_back('|');
    for (const Item& item : alternative.items) AppendItem(item, pattern.pcre2);
    if (!alternative.not_followed_by.has_value()) continue;
    absl::StrAppend(&pattern.pcre2, "(?!");
    AppendSet(*alternative.not_followed_by, pattern.pcre2);
    pattern.pcre2.push_back(')');
  }
  return pattern;
}

SplitPattern LiteralSplitPattern(std::string_view text) {
  SplitPattern pattern;
  for (const char byte : text) {
    // Bytes above 0x7F are parts of characters, which stand for themselves.
    const bool is_plain = static_cast<uint8_t>(byte) >= 0x80;
    absl::StrAppend(&pattern.pcre2, is_plain ? std::string(1, byte) : absl::StrFormat("\\x{%x}", byte));
  }
  return pattern;
}

}  // namespace tessera
