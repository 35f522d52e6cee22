#include "server/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>

#include "base/status_matchers.h"
#include "server/tokenizer/stream_decoder.h"
#include "server/tokenizer/testing_vocabulary.h"
#include "server/tokenizer/utf8.h"

namespace tessera {
namespace {

using Json = nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<TokenId>;

constexpr TokenId kBos = 261;
constexpr TokenId kThink = 263;
constexpr TokenId kUser = 265;

std::unique_ptr<const Tokenizer> Make(const Json& file, TokenizerConfig config = {}) {
  auto tokenizer = Tokenizer::FromJson(file.dump(), std::move(config));
  EXPECT_THAT(tokenizer, IsOk());
  return *std::move(tokenizer);
}

std::unique_ptr<const Tokenizer> Demo() {
  auto tokenizer = Tokenizer::Load("models/demo");
  EXPECT_THAT(tokenizer, IsOk());
  return *std::move(tokenizer);
}

void ExpectGoldens(const Tokenizer& tokenizer, const std::string& path) {
  std::ifstream goldens(path);
  int num_lines = 0;
  for (std::string line; std::getline(goldens, line); ++num_lines) {
    const Json golden = Json::parse(line);
    const auto text = golden[0].get<std::string>();
    const auto ids = tokenizer.Encode(text, SpecialTokens::kParse);
    ASSERT_THAT(ids, IsOk());
    EXPECT_EQ(*ids, golden[1].get<Ids>()) << text;
    EXPECT_EQ(tokenizer.Decode(*ids, /*skip_special=*/false), text);
  }
  EXPECT_GT(num_lines, 500) << path;
}

TEST(TokenizerTest, GivesTheIdsOfTheReferenceLibrary) { ExpectGoldens(*Demo(), "tests/golden/tokenizer/demo.jsonl"); }

TEST(TokenizerTest, GivesTheIdsOfTheReferenceLibraryWithTheV2PreTokenizer) {
  std::ifstream demo("models/demo/tokenizer.json");
  std::ifstream pre_tokenizer("tests/golden/tokenizer/v2_pre_tokenizer.json");
  Json file = Json::parse(demo);
  file["pre_tokenizer"] = Json::parse(pre_tokenizer);
  ExpectGoldens(*Make(file), "tests/golden/tokenizer/v2.jsonl");
}

TEST(TokenizerTest, MergesTheLowestRankFirstAndTheLeftmostOfEquals) {
  const auto tokenizer = Make(TestingVocabulary());
  EXPECT_THAT(*tokenizer->Encode("hello", SpecialTokens::kParse), ElementsAre(258, 'o'));
  EXPECT_THAT(*tokenizer->Encode("aaa", SpecialTokens::kParse), ElementsAre(259, 'a'));
  EXPECT_THAT(*tokenizer->Encode("aaaaaaa", SpecialTokens::kParse), ElementsAre(260, 259, 'a'));
  EXPECT_THAT(*tokenizer->Encode("", SpecialTokens::kParse), ElementsAre());
}

TEST(TokenizerTest, AddedTokensAreCutOutLeftmostAndLongest) {
  Json file = TestingVocabulary();
  file["added_tokens"].push_back({{"id", 300}, {"content", "<think>x"}, {"special", false}});
  const auto tokenizer = Make(file);
  EXPECT_THAT(*tokenizer->Encode("<think>xhe", SpecialTokens::kParse), ElementsAre(300, 256));
  EXPECT_THAT(*tokenizer->Encode("<think>yhe", SpecialTokens::kParse), ElementsAre(kThink, 'y', 256));
}

TEST(TokenizerTest, ControlTokensTypedByAUserStayText) {
  const auto tokenizer = Demo();
  const std::string text = "a<｜end▁of▁sentence｜><｜User｜>b</think>c<｜tool▁calls▁begin｜>";
  const auto ids = tokenizer->Encode(text, SpecialTokens::kAsText);
  ASSERT_THAT(ids, IsOk());
  for (const TokenId id : *ids) EXPECT_FALSE(tokenizer->IsAdded(id)) << id;
  EXPECT_EQ(tokenizer->Decode(*ids, /*skip_special=*/true), text);
  EXPECT_THAT(*tokenizer->Encode(text, SpecialTokens::kParse), Contains(*tokenizer->eos_id()));
}

TEST(TokenizerTest, NoMergeCanForgeAControlToken) {
  Json file = TestingVocabulary();
  file["model"]["vocab"]["<h"] = 300;
  file["model"]["merges"].push_back("< h");
  file["added_tokens"].push_back({{"id", 300}, {"content", "<h"}, {"special", true}});
  file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "[<h]+";
  const auto tokenizer = Make(file);
  EXPECT_THAT(*tokenizer->Encode("<h", SpecialTokens::kParse), ElementsAre(300));
  EXPECT_THAT(*tokenizer->Encode("<h", SpecialTokens::kAsText), ElementsAre('<', 'h'));
}

TEST(TokenizerTest, SegmentsAreOneTextButControlTokensComeFromTrustedOnesOnly) {
  const auto tokenizer = Make(TestingVocabulary());
  using enum SpecialTokens;
  const auto encode = [&](std::vector<TextSegment> segments) { return *tokenizer->EncodeSegments(segments); };
  EXPECT_EQ(encode({{"h", kParse}, {"ello", kAsText}}), (Ids{258, 'o'})) << "the seam must not cut a word";
  EXPECT_EQ(encode({{"<｜User｜>", kParse}, {"he", kAsText}}), (Ids{kUser, 256}));
  EXPECT_EQ(encode({{"<｜User｜>", kParse}, {"<think>", kAsText}}).front(), kUser);
  EXPECT_THAT(encode({{"<｜User｜>", kParse}, {"<think>", kAsText}}), testing::Not(Contains(kThink)));
  EXPECT_THAT(encode({{"<thi", kParse}, {"nk>", kAsText}}), testing::Not(Contains(kThink)));
  EXPECT_THAT(encode({{"<thi", kParse}, {"nk>", kParse}}), testing::Not(Contains(kThink)));
  EXPECT_EQ(encode({}), Ids());
}

TEST(TokenizerTest, InvalidUtf8IsEncodedAsReplacementCharacters) {
  const auto tokenizer = Make(TestingVocabulary());
  EXPECT_EQ(*tokenizer->Encode("a\xF0\x9F", SpecialTokens::kAsText),
            *tokenizer->Encode("a\uFFFD", SpecialTokens::kAsText));
  const std::vector<TextSegment> segments = {{"a\xE4", SpecialTokens::kAsText}, {"\xBD\xA0", SpecialTokens::kAsText}};
  EXPECT_EQ(*tokenizer->EncodeSegments(segments), *tokenizer->Encode("a\uFFFD\uFFFD\uFFFD", SpecialTokens::kAsText));
}

TEST(TokenizerTest, DecodingReplacesEachInvalidPartOnceAndSkipsOnlySpecialTokens) {
  const auto tokenizer = Make(TestingVocabulary());
  EXPECT_EQ(tokenizer->Decode(Ids{'a', 0xF0, 0x9F}, true), "a\uFFFD");
  EXPECT_EQ(tokenizer->Decode(Ids{kBos, kThink, 258}, true), "<think>hell");
  EXPECT_EQ(tokenizer->Decode(Ids{kBos, 258}, false), "<｜begin▁of▁sentence｜>hell");
  EXPECT_EQ(tokenizer->Decode(Ids{-1, 9999, 'a'}, false), "a") << "ids without a token give nothing";
}

TEST(TokenizerTest, RawPromptsGetOneBosAtMost) {
  const auto with = Make(TestingVocabulary(), {.add_bos_token = true});
  const auto without = Make(TestingVocabulary(), {.add_bos_token = false});
  EXPECT_THAT(*with->EncodeRawPrompt("he", std::nullopt), ElementsAre(kBos, 256));
  EXPECT_THAT(*with->EncodeRawPrompt("<｜begin▁of▁sentence｜>he", std::nullopt), ElementsAre(kBos, 256));
  EXPECT_THAT(*with->EncodeRawPrompt("he", false), ElementsAre(256));
  EXPECT_THAT(*with->EncodeRawPrompt("", std::nullopt), ElementsAre(kBos));
  EXPECT_THAT(*without->EncodeRawPrompt("he", std::nullopt), ElementsAre(256));
  EXPECT_THAT(*without->EncodeRawPrompt("he", true), ElementsAre(kBos, 256));
}

TEST(TokenizerTest, BosRuleOfNewerExportsIsReadFromThePostProcessor) {
  Json file = TestingVocabulary();
  file["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single", {{{"SpecialToken", {{"id", "<｜begin▁of▁sentence｜>"}, {"type_id", 0}}}}}}};
  EXPECT_THAT(*Make(file)->EncodeRawPrompt("he", std::nullopt), ElementsAre(kBos, 256));
  EXPECT_THAT(*Make(file, {.add_bos_token = false})->EncodeRawPrompt("he", std::nullopt), ElementsAre(256));
}

TEST(TokenizerTest, TokensAreFoundByContentNeverByNumber) {
  const auto tokenizer = Make(TestingVocabulary());
  EXPECT_EQ(tokenizer->FindAdded("<｜User｜>"), kUser);
  EXPECT_EQ(tokenizer->FindAdded("he"), std::nullopt) << "not an added token";
  EXPECT_EQ(tokenizer->FindAdded("<｜User"), std::nullopt);
  EXPECT_EQ(tokenizer->bos_id(), kBos);
  EXPECT_EQ(tokenizer->TokenBytes(kUser), "<｜User｜>");
  EXPECT_EQ(tokenizer->TokenBytes(0xF0), "\xF0");
  EXPECT_EQ(tokenizer->TokenBytes(-5), "");
  EXPECT_EQ(tokenizer->num_ids(), 267);
  EXPECT_TRUE(tokenizer->IsSpecial(kBos));
  EXPECT_FALSE(tokenizer->IsSpecial(kThink));
  EXPECT_FALSE(tokenizer->HasToken(267));
}

TEST(TokenizerTest, AConfiguredTokenThatDoesNotExistIsRefused) {
  EXPECT_THAT(Tokenizer::FromJson(TestingVocabulary().dump(), {.bos_token = "<s>"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("bos_token \"<s>\" is not among")));
}

TEST(TokenizerTest, OneMegabyteOfOneLetterTakesLinearTime) {
  // A quadratic algorithm needs hours for these; the test's time limit is the assertion.
  const auto tokenizer = Demo();
  const std::string spaces(1000000, ' ');
  for (const std::string& text : {std::string(1000000, 'a'), spaces + "x", spaces + "1", std::string(1000000, '\n'),
                                  std::string(1000000, '<'), std::string(1000000, '1')}) {
    const auto ids = tokenizer->Encode(text, SpecialTokens::kParse);
    ASSERT_THAT(ids, IsOk());
    EXPECT_EQ(tokenizer->Decode(*ids, false), text);
  }
}

TEST(TokenizerTest, SpacesAtTheEndOfAV2PieceTakeLinearTime) {
  Json file = TestingVocabulary();
  file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = R"(\s+$)";
  const auto tokenizer = Make(file);
  const std::string text = std::string(1000000, ' ') + "1" + std::string(1000, ' ');
  const auto ids = tokenizer->Encode(text, SpecialTokens::kParse);
  ASSERT_THAT(ids, IsOk());
  EXPECT_EQ(tokenizer->Decode(*ids, false), text);
}

TEST(TokenizerTest, CheckListsEveryProblemOfTheFolder) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "tokenizer_check";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  EXPECT_THAT(Tokenizer::Check(folder, std::nullopt), ElementsAre(HasSubstr("tokenizer.json: no such file")));
  std::ofstream(folder / "tokenizer.json") << TestingVocabulary().dump();
  std::ofstream(folder / "tokenizer_config.json") << R"({"bos_token": {"content": "<s>"}, "add_bos_token": true})";
  EXPECT_THAT(Tokenizer::Check(folder, 266),
              testing::IsSupersetOf({HasSubstr("bos_token \"<s>\""),
                                     HasSubstr("highest token id is 266, config.json has vocab_size 266")}));
  std::ofstream(folder / "tokenizer_config.json") << R"({"add_bos_token": "yes"})";
  EXPECT_THAT(Tokenizer::Check(folder, 267), ElementsAre(HasSubstr("add_bos_token: got string, wanted true or false")));
  EXPECT_THAT(Tokenizer::Load(folder),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tokenizer_config.json")));
  std::filesystem::remove(folder / "tokenizer_config.json");
  EXPECT_THAT(Tokenizer::Check(folder, 267), ElementsAre());
}

TEST(TokenizerTest, ManyThreadsMayEncodeAtOnce) {
  const auto tokenizer = Demo();
  const std::string text = "Hello, world! 12345 日本語 naïve  \n\n<think>x</think>";
  const Ids expected = *tokenizer->Encode(text, SpecialTokens::kParse);
  std::vector<std::thread> threads;
  std::atomic<int> num_wrong = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        if (*tokenizer->Encode(text, SpecialTokens::kParse) != expected) ++num_wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(num_wrong, 0);
}

TEST(StreamDecoderTest, JoinedPiecesEqualTheWholeTextAndNeverHoldHalfACharacter) {
  const auto tokenizer = Demo();
  for (const std::string text :
       {"삼겹살 👩‍💻 é — 日本", "  leading", "\n\n    x", " ", "a    b", "", "<think>\n x</think>"}) {
    const Ids ids = *tokenizer->Encode(text, SpecialTokens::kParse);
    StreamDecoder decoder(*tokenizer, /*skip_special=*/true);
    std::string joined;
    for (const TokenId id : ids) {
      const std::string piece = decoder.Push(id);
      EXPECT_EQ(ValidUtf8Prefix(piece), piece.size());
      EXPECT_THAT(piece, testing::Not(HasSubstr("\uFFFD")));
      joined += piece;
    }
    EXPECT_EQ(decoder.Flush(), "");
    EXPECT_EQ(joined, text);
  }
}

TEST(StreamDecoderTest, CutInsideACharacterGivesOneReplacementAtTheEndAsDecodingDoes) {
  const auto tokenizer = Demo();
  const Ids ids = *tokenizer->Encode("x👩‍💻", SpecialTokens::kParse);
  for (size_t count = 0; count <= ids.size(); ++count) {
    const Ids cut(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count));
    StreamDecoder decoder(*tokenizer, true);
    std::string joined;
    for (const TokenId id : cut) joined += decoder.Push(id);
    EXPECT_THAT(joined, testing::Not(HasSubstr("\uFFFD")));
    joined += decoder.Flush();
    EXPECT_EQ(joined, tokenizer->Decode(cut, true));
  }
}

TEST(StreamDecoderTest, AnyTokensStreamAsTheyDecode) {
  const auto tokenizer = Demo();
  std::mt19937 random(7);
  std::uniform_int_distribution<TokenId> any(0, tokenizer->num_ids() + 3);
  for (int round = 0; round < 500; ++round) {
    Ids ids(12);
    for (TokenId& id : ids) id = any(random);
    const bool skip_special = round % 2 == 0;
    StreamDecoder decoder(*tokenizer, skip_special);
    std::string joined;
    for (const TokenId id : ids) joined += decoder.Push(id);
    EXPECT_EQ(joined + decoder.Flush(), tokenizer->Decode(ids, skip_special));
  }
}

}  // namespace
}  // namespace tessera
