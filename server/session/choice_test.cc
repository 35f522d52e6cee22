#include "server/session/choice.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/testing/test_tokenizer.h"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// All deltas of a choice joined.
struct Whole {
  std::string text, reasoning;
  std::vector<ToolCallDelta> tool_calls;
  size_t num_logprobs = 0;
  std::optional<ChoiceFinish> finish;
  std::optional<std::string> matched_stop;
  std::optional<TokenId> matched_stop_token;
};

class ChoiceTest : public testing::Test {
 protected:
  ChoiceOptions Raw() const { return {.parser = {.markers = format_.markers()}}; }
  ChoiceOptions Chat(const ChatFormat& format) const {
    const std::vector<ChatMessage> messages = {{.role = "user", .content = "q"}};
    auto prompt = format.Render(messages, {}, {});
    return {.parser = format.OutputOptions(*prompt)};
  }
  ChoiceOptions WithStops(ChoiceOptions options, std::vector<std::string> stops) const {
    options.parser.stops = *StopStrings::Create(std::move(stops));
    return options;
  }

  // Plays `tokens` in batches of `batch` with the end in the last one.
  Whole Play(ChoiceOptions options, const std::vector<TokenId>& tokens, FinishReason finish, size_t batch = 1) const {
    Choice choice(*tokenizer_, std::move(options));
    Whole whole;
    for (size_t begin = 0; begin <= tokens.size() && !choice.is_finished(); begin += batch) {
      const size_t end = std::min(tokens.size(), begin + batch);
      RequestTokens message{.tokens = {tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                                       tokens.begin() + static_cast<std::ptrdiff_t>(end)}};
      if (end == tokens.size()) message.finish = finish;
      const ChoiceDelta delta = choice.Push(std::move(message));
      whole.text += delta.text;
      whole.reasoning += delta.reasoning;
      for (const ToolCallDelta& call : delta.tool_calls) {
        if (!call.id.empty()) {
          whole.tool_calls.push_back(call);
        } else {
          whole.tool_calls.back().arguments += call.arguments;
        }
      }
      whole.finish = delta.finish;
      whole.matched_stop = delta.matched_stop;
      whole.matched_stop_token = delta.matched_stop_token;
    }
    return whole;
  }

  std::vector<TokenId> Spelled(std::string_view text) const { return Spell(*tokenizer_, text); }

  std::unique_ptr<const Tokenizer> tokenizer_ = MakeTestTokenizer();
  ChatFormat format_ = MakeTestChatFormat(*tokenizer_, "v3");
  ChatFormat r1_ = MakeTestChatFormat(*tokenizer_, "r1");
  TokenId eos_ = *tokenizer_->eos_id();
};

TEST_F(ChoiceTest, JoinsCharactersWhoseBytesLieInSeveralTokens) {
  const std::string text = "삼겹살 👩‍💻 é — 日本";
  for (const size_t batch : {1U, 2U, 3U, 7U, 100U}) {
    const Whole whole = Play(Raw(), Spelled(text), FinishReason::kLength, batch);
    EXPECT_EQ(whole.text, text) << batch;
    EXPECT_EQ(whole.finish, ChoiceFinish::kLength);
  }
}

TEST_F(ChoiceTest, EndsACutCharacterWithOneReplacementCharacter) {
  std::vector<TokenId> tokens = Spelled("a👩");
  tokens.pop_back();
  for (const size_t batch : {1U, 2U, 100U}) {
    EXPECT_EQ(Play(Raw(), tokens, FinishReason::kLength, batch).text, "a\uFFFD") << batch;
  }
}

TEST_F(ChoiceTest, KeepsLeadingAndRepeatedSpace) {
  for (const std::string text : {"  leading", "\n\n    x", " ", "a    b"}) {
    EXPECT_EQ(Play(Raw(), Spelled(text), FinishReason::kLength).text, text);
    EXPECT_EQ(Play(Chat(format_), Spelled(text), FinishReason::kLength).text, text);
  }
}

TEST_F(ChoiceTest, HidesTheEndOfSequenceTokenAndNamesIt) {
  std::vector<TokenId> tokens = Spelled("hi");
  tokens.push_back(eos_);
  const Whole whole = Play(Chat(format_), tokens, FinishReason::kStop);
  EXPECT_EQ(whole.text, "hi");
  EXPECT_EQ(whole.finish, ChoiceFinish::kStop);
  EXPECT_EQ(whole.matched_stop_token, eos_);
}

TEST_F(ChoiceTest, CutsTheTextBeforeAStopWhateverTheBatches) {
  for (const size_t batch : {1U, 2U, 3U, 100U}) {
    const Whole whole = Play(WithStops(Raw(), {"DEFGHIJ"}), Spelled("ABCDEFGHIJK"), FinishReason::kLength, batch);
    EXPECT_EQ(whole.text, "ABC") << batch;
    EXPECT_EQ(whole.finish, ChoiceFinish::kStop);
    EXPECT_EQ(whole.matched_stop, "DEFGHIJ");
  }
}

TEST_F(ChoiceTest, ReleasesTextThatLookedLikeAStop) {
  const Whole whole = Play(WithStops(Raw(), {"DEFX"}), Spelled("ABCDEF"), FinishReason::kLength);
  EXPECT_EQ(whole.text, "ABCDEF");
  EXPECT_EQ(whole.finish, ChoiceFinish::kLength);
}

TEST_F(ChoiceTest, CountsNoTokenAfterAStop) {
  Choice choice(*tokenizer_, WithStops(Raw(), {"b"}));
  const ChoiceDelta delta = choice.Push({.tokens = Spelled("abccc")});
  EXPECT_EQ(delta.text, "a");
  EXPECT_EQ(choice.num_tokens(), 2);
  EXPECT_TRUE(choice.is_finished());
  EXPECT_TRUE(choice.engine_runs_on());
}

TEST_F(ChoiceTest, SeparatesReasoningThatThePromptOpened) {
  std::vector<TokenId> tokens = Spelled("think</think>answer");
  tokens.push_back(eos_);
  for (const size_t batch : {1U, 5U, 100U}) {
    const Whole whole = Play(Chat(r1_), tokens, FinishReason::kStop, batch);
    EXPECT_EQ(whole.reasoning, "think") << batch;
    EXPECT_EQ(whole.text, "answer") << batch;
  }
}

TEST_F(ChoiceTest, CutReasoningLeavesContentEmpty) {
  const Whole whole = Play(Chat(r1_), Spelled("x"), FinishReason::kLength);
  EXPECT_EQ(whole.reasoning, "x");
  EXPECT_EQ(whole.text, "");
  EXPECT_EQ(whole.finish, ChoiceFinish::kLength);
}

TEST_F(ChoiceTest, CountsReasoningTokensWithTheirEndMarker) {
  Choice choice(*tokenizer_, Chat(r1_));
  choice.Push({.tokens = Spelled("abc</think>xy"), .finish = FinishReason::kLength});
  EXPECT_EQ(choice.num_reasoning_tokens(), 4);
  EXPECT_EQ(choice.num_tokens(), 6);
}

TEST_F(ChoiceTest, FindsAToolCallInAnyCut) {
  std::vector<TokenId> tokens = Spelled(
      "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\":1}\n```<｜tool▁call▁end｜>"
      "<｜tool▁calls▁end｜>");
  tokens.push_back(eos_);
  ChoiceOptions options = Chat(format_);
  options.parser.make_call_id = [](int) { return "id"; };
  for (const size_t batch : {1U, 4U, 1000U}) {
    const Whole whole = Play(options, tokens, FinishReason::kStop, batch);
    EXPECT_THAT(whole.tool_calls, ElementsAre(ToolCallDelta{0, "id", "add", "{\"a\":1}"})) << batch;
    EXPECT_EQ(whole.finish, ChoiceFinish::kToolCalls);
    EXPECT_EQ(whole.text, "");
  }
}

TEST_F(ChoiceTest, EchoesThePromptBeforeTheAnswerAndNeverMatchesStopsInIt) {
  ChoiceOptions options = WithStops(Raw(), {"mpt"});
  options.echo_text = "prompt";
  const Whole whole = Play(options, Spelled("ab"), FinishReason::kLength);
  EXPECT_EQ(whole.text, "promptab");
  EXPECT_EQ(whole.finish, ChoiceFinish::kLength);
}

TEST_F(ChoiceTest, JoinsACharacterThatBeginsInAnEchoedPrompt) {
  ChoiceOptions options = Raw();
  const std::vector<TokenId> all = Spelled("aé");
  options.echo_ids = {all[0], all[1]};
  EXPECT_EQ(Play(options, {all[2]}, FinishReason::kLength).text, "aé");
}

TEST_F(ChoiceTest, MakesLogprobsFinite) {
  ChoiceOptions options = Raw();
  options.has_logprobs = true;
  Choice choice(*tokenizer_, options);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const ChoiceDelta delta =
      choice.Push({.tokens = {65},
                   .logprobs = {{.token = {65, -kInfinity}, .top = {{65, std::nanf("")}, {66, -0.25F}}}},
                   .finish = FinishReason::kLength});
  ASSERT_EQ(delta.logprobs.size(), 1U);
  EXPECT_EQ(delta.logprobs[0].token.logprob, kLogprobFloor);
  EXPECT_EQ(delta.logprobs[0].top[0].logprob, kLogprobFloor);
  EXPECT_EQ(delta.logprobs[0].top[1].logprob, -0.25F);
}

TEST_F(ChoiceTest, GathersPromptLogprobsUntilTheFirstToken) {
  Choice choice(*tokenizer_, Raw());
  EXPECT_THAT(choice.Push({.prompt_logprobs = {{.token = {1, -1.F}}}}).prompt_logprobs, IsEmpty());
  const ChoiceDelta delta = choice.Push({.tokens = {65}, .prompt_logprobs = {{.token = {2, -2.F}}}});
  EXPECT_EQ(delta.prompt_logprobs.size(), 2U);
  EXPECT_THAT(choice.Push({.tokens = {65}}).prompt_logprobs, IsEmpty());
}

TEST_F(ChoiceTest, DropsTheTokenThatTheEngineMadeForMaxTokensZero) {
  ChoiceOptions options = Raw();
  options.echo_text = "p";
  options.drops_tokens = true;
  Choice choice(*tokenizer_, options);
  const ChoiceDelta delta = choice.Push({.tokens = {65}, .finish = FinishReason::kStop});
  EXPECT_EQ(delta.text, "p");
  EXPECT_EQ(delta.finish, ChoiceFinish::kLength);
  EXPECT_EQ(choice.num_tokens(), 0);
}

}  // namespace
}  // namespace tessera
