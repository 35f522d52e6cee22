#include "server/grpc/from_proto.h"

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/testing/test_tokenizer.h"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

TEST(FromProtoTest, CarriesEveryField) {
  v1::GenerateRequest in;
  in.set_model("m");
  in.mutable_text()->set_text("t");
  in.mutable_text()->set_add_special_tokens(false);
  v1::Sampling& sampling = *in.mutable_sampling();
  sampling.set_temperature(0);
  sampling.set_top_p(0.5F);
  sampling.set_top_k(3);
  sampling.set_min_p(0.1F);
  sampling.set_repetition_penalty(1.2F);
  sampling.set_frequency_penalty(0.3F);
  sampling.set_presence_penalty(0.4F);
  sampling.set_seed(-7);
  (*sampling.mutable_logit_bias())[5] = -1.F;
  in.set_max_tokens(9);
  in.set_min_tokens(2);
  in.add_stop("s");
  in.add_stop_token_ids(4);
  in.set_ignore_eos(true);
  in.set_n(3);
  in.set_logprobs(1);
  in.set_prompt_logprobs(0);
  in.set_echo(true);
  in.set_priority(-1);
  in.set_return_token_ids(true);
  in.set_request_id("id");
  const auto out = FromProto(in);
  ASSERT_THAT(out, IsOk());
  EXPECT_EQ(out->model, "m");
  EXPECT_EQ(std::get<TextPrompt>(out->prompts[0]).text, "t");
  EXPECT_EQ(std::get<TextPrompt>(out->prompts[0]).add_special_tokens, false);
  EXPECT_EQ(out->sampling.temperature, 0.F) << "a zero that was set is not absent";
  EXPECT_EQ(out->sampling.top_p, 0.5F);
  EXPECT_EQ(out->sampling.top_k, 3);
  EXPECT_EQ(out->sampling.min_p, 0.1F);
  EXPECT_EQ(out->sampling.repetition_penalty, 1.2F);
  EXPECT_EQ(out->sampling.frequency_penalty, 0.3F);
  EXPECT_EQ(out->sampling.presence_penalty, 0.4F);
  EXPECT_EQ(out->sampling.seed, -7);
  EXPECT_THAT(out->sampling.logit_bias, ElementsAre(Pair(5, -1.F)));
  EXPECT_EQ(out->max_tokens, 9);
  EXPECT_EQ(out->min_tokens, 2);
  EXPECT_THAT(out->stop, ElementsAre("s"));
  EXPECT_THAT(out->stop_token_ids, ElementsAre(4));
  EXPECT_TRUE(out->ignore_eos);
  EXPECT_EQ(out->n, 3);
  EXPECT_EQ(out->logprobs, 1);
  EXPECT_EQ(out->prompt_logprobs, 0);
  EXPECT_TRUE(out->echo);
  EXPECT_EQ(out->priority, -1);
  EXPECT_TRUE(out->return_token_ids);
  EXPECT_EQ(out->id, "id");
}

TEST(FromProtoTest, LeavesAbsentFieldsAbsent) {
  v1::GenerateRequest in;
  in.mutable_tokens()->add_ids(1);
  const auto out = FromProto(in);
  ASSERT_THAT(out, IsOk());
  EXPECT_EQ(out->n, 1);
  EXPECT_FALSE(out->max_tokens.has_value());
  EXPECT_FALSE(out->logprobs.has_value());
  EXPECT_FALSE(out->sampling.temperature.has_value());
  EXPECT_FALSE(out->sampling.seed.has_value());
}

TEST(FromProtoTest, CarriesAChat) {
  v1::GenerateRequest in;
  v1::ChatPrompt& chat = *in.mutable_chat();
  v1::ChatMessage& message = *chat.add_messages();
  message.set_role("assistant");
  message.set_reasoning_content("r");
  v1::ToolCall& call = *message.add_tool_calls();
  call.set_id("i");
  call.set_name("f");
  call.set_arguments("{}");
  v1::Tool& tool = *chat.add_tools();
  tool.set_name("f");
  tool.set_parameters_json(R"({ "z": 1, "a": 2 })");
  chat.set_thinking(true);
  chat.set_continue_final_message(true);
  chat.set_add_generation_prompt(false);
  chat.set_tool_choice("none");
  const auto out = FromProto(in);
  ASSERT_THAT(out, IsOk());
  const auto& prompt = std::get<ChatPrompt>(out->prompts[0]);
  EXPECT_EQ(prompt.messages[0].content, std::nullopt);
  EXPECT_EQ(prompt.messages[0].reasoning_content, "r");
  EXPECT_EQ(prompt.messages[0].tool_calls[0].name, "f");
  EXPECT_EQ(prompt.tools[0].parameters_json, R"({"z":1,"a":2})") << "as the same tool over HTTP";
  EXPECT_EQ(prompt.thinking, true);
  EXPECT_TRUE(prompt.continue_final_message);
  EXPECT_FALSE(prompt.add_generation_prompt);
  EXPECT_FALSE(prompt.uses_tools);
}

TEST(FromProtoTest, RefusesBadTools) {
  v1::GenerateRequest in;
  in.mutable_chat()->add_messages()->set_role("user");
  in.mutable_chat()->add_tools();
  EXPECT_THAT(FromProto(in), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tools[0].name")));
  in.mutable_chat()->mutable_tools(0)->set_name("f");
  in.mutable_chat()->mutable_tools(0)->set_parameters_json("[1]");
  EXPECT_THAT(FromProto(in), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tools[0].parameters_json")));
}

TEST(ToProtoTest, CarriesADelta) {
  const auto tokenizer = MakeTestTokenizer();
  const v1::GenerateEvent out = ToProto(ChoiceDelta{.choice_index = 2,
                                                    .text = "t",
                                                    .reasoning = "r",
                                                    .tool_calls = {{.index = 1, .id = "i", .name = "n"}},
                                                    .token_ids = {65},
                                                    .logprobs = {{.token = {0xC3, -1.F}, .top = {{66, -2.F}}}},
                                                    .finish = ChoiceFinish::kToolCalls,
                                                    .matched_stop_token = 257},
                                        *tokenizer);
  const v1::ChoiceDelta& delta = out.delta();
  EXPECT_EQ(delta.choice_index(), 2);
  EXPECT_EQ(delta.text(), "t");
  EXPECT_EQ(delta.reasoning(), "r");
  EXPECT_EQ(delta.tool_calls(0).name(), "n");
  EXPECT_THAT(delta.token_ids(), ElementsAre(65));
  EXPECT_EQ(delta.logprobs(0).token().token(), "\xC3") << "bytes: a part of a character is whole here";
  EXPECT_EQ(delta.logprobs(0).top(0).logprob(), -2.F);
  EXPECT_EQ(delta.finish_reason(), v1::FINISH_REASON_TOOL_CALLS);
  EXPECT_EQ(delta.matched_stop_token_id(), 257);
  EXPECT_FALSE(delta.has_matched_stop());
}

}  // namespace
}  // namespace tessera
