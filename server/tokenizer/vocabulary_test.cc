#include "server/tokenizer/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "server/tokenizer/testing_vocabulary.h"

namespace tessera {
namespace {

using Json = nlohmann::json;
using testing::Contains;
using testing::HasSubstr;

std::vector<std::string> ProblemsOf(const std::string& text) {
  VocabularyProblems problems;
  const auto vocabulary = ParseVocabulary(text, problems);
  EXPECT_EQ(vocabulary.has_value(), problems.empty());
  return problems.Lines();
}

TEST(VocabularyTest, AGoodFileHasNoProblems) {
  EXPECT_THAT(ProblemsOf(TestingVocabulary().dump()), testing::IsEmpty());
}

TEST(VocabularyTest, MergesAsPairsMeanTheSame) {
  Json file = TestingVocabulary();
  file["model"]["merges"] = Json::parse(R"([["h", "e"], ["l", "l"], ["he", "ll"]])");
  EXPECT_THAT(ProblemsOf(file.dump()), testing::IsEmpty());
}

struct BadFile {
  std::string name;
  std::function<void(Json&)> spoil;
  std::string problem;
};
class BadVocabularyTest : public testing::TestWithParam<BadFile> {};

TEST_P(BadVocabularyTest, IsRefusedWithTheEntryNamed) {
  Json file = TestingVocabulary();
  GetParam().spoil(file);
  EXPECT_THAT(ProblemsOf(file.dump()), Contains(HasSubstr(GetParam().problem)));
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadVocabularyTest,
    testing::Values(
        BadFile{"NoModel", [](Json& f) { f.erase("model"); }, "model: wanted an object"},
        BadFile{"NotAnObject", [](Json& f) { f = Json::array(); }, "not a JSON object"},
        BadFile{"OtherModel", [](Json& f) { f["model"]["type"] = "Unigram"; }, "model.type: got \"Unigram\""},
        BadFile{"ByteFallback", [](Json& f) { f["model"]["byte_fallback"] = true; }, "model.byte_fallback"},
        BadFile{"IgnoreMerges", [](Json& f) { f["model"]["ignore_merges"] = true; }, "model.ignore_merges"},
        BadFile{"Dropout", [](Json& f) { f["model"]["dropout"] = 0.1; }, "model.dropout"},
        BadFile{"Prefix", [](Json& f) { f["model"]["continuing_subword_prefix"] = "##"; }, "model.continuing_subword"},
        BadFile{"DuplicateId", [](Json& f) { f["model"]["vocab"]["zz"] = 65; }, "id 65 is given to"},
        BadFile{"NegativeId", [](Json& f) { f["model"]["vocab"]["zz"] = -1; }, "got id -1"},
        BadFile{"HugeId", [](Json& f) { f["model"]["vocab"]["zz"] = 4000000000u; }, "got id 4000000000"},
        BadFile{"TextId", [](Json& f) { f["model"]["vocab"]["zz"] = "5"; }, "got id \"5\""},
        BadFile{"EmptyToken", [](Json& f) { f["model"]["vocab"][""] = 300; }, "id 300 has an empty token"},
        BadFile{"NoByteToken", [](Json& f) { f["model"]["vocab"].erase("A"); }, "no token \"A\" for byte 0x41"},
        BadFile{"MergePartMissing", [](Json& f) { f["model"]["merges"].push_back("q zz"); },
                "\"zz\" is not in model.vocab"},
        BadFile{"MergeProductMissing", [](Json& f) { f["model"]["merges"].push_back("q q"); },
                "\"qq\" is not in model.vocab"},
        BadFile{"MergeTwice", [](Json& f) { f["model"]["merges"].push_back("h e"); },
                "model.merges[5] (\"h\" + \"e\"): appears twice"},
        BadFile{"MergeOfThree", [](Json& f) { f["model"]["merges"].push_back("h e l"); }, "model.merges[5]: got"},
        BadFile{"MergeNumber", [](Json& f) { f["model"]["merges"].push_back(7); }, "model.merges[5]: got 7"},
        BadFile{"MergePairOfOne", [](Json& f) { f["model"]["merges"].push_back(Json::array({"h"})); },
                "model.merges[5]: got"},
        BadFile{"AddedNoContent", [](Json& f) { f["added_tokens"][0].erase("content"); }, "added_tokens[0]"},
        BadFile{"AddedEmpty", [](Json& f) { f["added_tokens"][0]["content"] = ""; }, "added_tokens[0].content"},
        BadFile{"AddedTwice", [](Json& f) { f["added_tokens"][1]["content"] = "<think>"; }, "appears twice"},
        BadFile{"AddedIdTaken", [](Json& f) { f["added_tokens"][0]["id"] = 70; }, "is given to"},
        BadFile{"AddedIdBad", [](Json& f) { f["added_tokens"][0]["id"] = nullptr; }, "added_tokens[0].id: got id null"},
        BadFile{"AddedOtherIdInVocab", [](Json& f) { f["added_tokens"][0]["content"] = "he"; },
                "in model.vocab it has 256"},
        BadFile{"AddedIsAByte",
                [](Json& f) {
                  f["added_tokens"][0]["content"] = "A";
                  f["added_tokens"][0]["id"] = 65;
                },
                "which ordinary text needs"},
        BadFile{"Strips", [](Json& f) { f["added_tokens"][0]["lstrip"] = true; }, "lstrip"},
        BadFile{"SingleWord", [](Json& f) { f["added_tokens"][0]["single_word"] = true; }, "single_word"},
        BadFile{"Normalizer",
                [](Json& f) {
                  f["normalizer"] = {{"type", "NFC"}};
                },
                "normalizer: only"},
        BadFile{"Decoder",
                [](Json& f) {
                  f["decoder"] = {{"type", "Metaspace"}};
                },
                "decoder: only"},
        BadFile{"PostProcessor",
                [](Json& f) {
                  f["post_processor"] = {{"type", "BertProcessing"}};
                },
                "post_processor: only"},
        BadFile{"NoPreTokenizer", [](Json& f) { f.erase("pre_tokenizer"); }, "pre_tokenizer: wanted"},
        BadFile{"PrefixSpace", [](Json& f) { f["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = true; },
                "add_prefix_space"},
        BadFile{"OwnRegex", [](Json& f) { f["pre_tokenizer"]["pretokenizers"][1]["use_regex"] = true; }, "use_regex"},
        BadFile{"Removes", [](Json& f) { f["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; },
                "behavior \"Removed\""},
        BadFile{"Inverts", [](Json& f) { f["pre_tokenizer"]["pretokenizers"][0]["invert"] = true; }, "invert"},
        BadFile{"BadRegex", [](Json& f) { f["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a)"; },
                "regex (a)"},
        BadFile{"NoByteLevel", [](Json& f) { f["pre_tokenizer"]["pretokenizers"].erase(1); }, "ByteLevel"}),
    [](const auto& c) { return c.param.name; });

TEST(VocabularyTest, ReportsEveryProblemAndKeepsTheListBounded) {
  Json file = TestingVocabulary();
  file["model"]["dropout"] = 0.5;
  file["normalizer"] = {{"type", "NFC"}};
  EXPECT_EQ(ProblemsOf(file.dump()).size(), 2u);
  for (int i = 0; i < 5000; ++i) file["model"]["merges"].push_back("q q");
  const std::vector<std::string> lines = ProblemsOf(file.dump());
  EXPECT_EQ(lines.size(), 101u);
  EXPECT_EQ(lines.back(), "and 4902 more");
}

TEST(VocabularyTest, ALineIsShortAndHasNoTerminalEscapes) {
  Json file = TestingVocabulary();
  file["model"]["merges"].push_back("\x1b[2J" + std::string(100000, 'x'));
  const std::vector<std::string> lines = ProblemsOf(file.dump());
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_LT(lines[0].size(), 500u);
  EXPECT_EQ(lines[0].find('\x1b'), std::string::npos);
}

TEST(VocabularyTest, DeepNestingIsAProblemNotACrash) {
  EXPECT_THAT(ProblemsOf("{\"x\":" + std::string(1000000, '[')), Contains(HasSubstr("nested deeper")));
}

}  // namespace
}  // namespace tessera
