#include "server/tokenizer/tokenizer_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/status_matchers.h"

namespace tessera {
namespace {

using testing::HasSubstr;

TEST(TokenizerConfigTest, ReadsTokensAsTextOrObjects) {
  const auto config = ParseTokenizerConfig(
      R"({"bos_token": {"content": "<b>", "lstrip": false}, "eos_token": "<e>", "add_bos_token": true, "chat_template": "T"})");
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->bos_token, "<b>");
  EXPECT_EQ(config->eos_token, "<e>");
  EXPECT_EQ(config->add_bos_token, true);
  EXPECT_EQ(config->chat_template, "T");
}

TEST(TokenizerConfigTest, AbsentAndNullMeanNotGiven) {
  const auto config = ParseTokenizerConfig(R"({"bos_token": null, "add_bos_token": null, "chat_template": null})");
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->bos_token, std::nullopt);
  EXPECT_EQ(config->add_bos_token, std::nullopt);
  EXPECT_EQ(config->chat_template, "");
}

TEST(TokenizerConfigTest, OfSeveralTemplatesTheDefaultCounts) {
  const auto config = ParseTokenizerConfig(
      R"({"chat_template": [{"name": "tool_use", "template": "A"}, {"name": "default", "template": "B"}]})");
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->chat_template, "B");
}

TEST(TokenizerConfigTest, WrongTypesAreRefusedByName) {
  for (const auto& [text, problem] : std::vector<std::pair<std::string, std::string>>{
           {R"([])", "not a JSON object"},
           {R"({"bos_token": 5})", "bos_token: got number"},
           {R"({"eos_token": {"text": "x"}})", "eos_token: got object"},
           {R"({"add_bos_token": 1})", "add_bos_token: got number"},
           {R"({"chat_template": 1})", "chat_template: got number"},
           {R"({"chat_template": [1, {"name": "x"}]})", "without an entry named"},
           {std::string(100000, '['), "nested deeper"}}) {
    EXPECT_THAT(ParseTokenizerConfig(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(problem)));
  }
}

TEST(TokenizerConfigTest, TheJinjaFileWins) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "tokenizer_config";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "tokenizer_config.json") << R"({"chat_template": "old"})";
  EXPECT_EQ(LoadTokenizerConfig(folder)->chat_template, "old");
  std::ofstream(folder / "chat_template.jinja") << "new";
  EXPECT_EQ(LoadTokenizerConfig(folder)->chat_template, "new");
  std::filesystem::remove_all(folder);
  EXPECT_EQ(LoadTokenizerConfig(folder)->chat_template, "") << "both files may be missing";
}

}  // namespace
}  // namespace tessera
