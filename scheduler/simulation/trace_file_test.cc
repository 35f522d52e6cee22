#include "scheduler/simulation/trace_file.h"

#include <sstream>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

using testing::HasSubstr;

absl::StatusOr<Trace> Read(const std::string& text, TraceFormat format) {
  std::istringstream in(text);
  return ReadTrace(in, format);
}

TEST(TraceFileTest, ReadsCsvInAnyColumnOrderAndSortsByArrival) {
  const auto trace = Read(
      "prompt_tokens, arrival_s,output_tokens,client,prefix,prefix_tokens,priority\r\n"
      "100,2.5,10,bob,system a,64,1\n"
      "\n"
      "50,0.5,5,,,,\n"
      "70,2.5,7,alice,system a,64,-1\n",
      TraceFormat::kCsv);
  ASSERT_TRUE(trace.ok()) << trace.status();
  ASSERT_EQ(trace->requests.size(), 3U);
  EXPECT_EQ(trace->requests[0].arrival, absl::Milliseconds(500));
  EXPECT_EQ(trace->requests[0].prompt_tokens, 50);
  EXPECT_EQ(trace->requests[0].max_tokens, 5);
  EXPECT_EQ(trace->requests[0].prefix, -1);
  EXPECT_EQ(trace->requests[0].client, 0);
  EXPECT_EQ(trace->requests[1].prompt_tokens, 100);  // of the same arrival, the order of the file
  EXPECT_EQ(trace->requests[1].prefix, trace->requests[2].prefix);
  EXPECT_EQ(trace->requests[1].prefix_tokens, 64);
  EXPECT_EQ(trace->requests[2].priority, -1);
  EXPECT_THAT(trace->clients, testing::ElementsAre("", "bob", "alice"));
}

TEST(TraceFileTest, ReadsJsonLines) {
  const auto trace = Read(R"({"arrival_s":1,"prompt_tokens":20,"output_tokens":3,"max_tokens":9,"prefix":7,)"
                          R"("prefix_tokens":16,"client":"k"})"
                          "\n"
                          R"({"arrival_s":0.25,"prompt_tokens":1,"output_tokens":1,"cancel_after_s":2,"client":null})",
                          TraceFormat::kJsonLines);
  ASSERT_TRUE(trace.ok()) << trace.status();
  ASSERT_EQ(trace->requests.size(), 2U);
  EXPECT_EQ(trace->requests[0].cancel_after, absl::Seconds(2));
  EXPECT_EQ(trace->requests[1].max_tokens, 9);
  EXPECT_EQ(trace->requests[1].prefix_tokens, 16);
  EXPECT_EQ(trace->clients[static_cast<size_t>(trace->requests[1].client)], "k");
}

TEST(TraceFileTest, WritesWhatItReads) {
  const std::string text =
      "arrival_s,prompt_tokens,output_tokens,max_tokens,prefix,prefix_tokens,client,priority,cancel_after_s\n"
      "0.000000000,5,2,4,,0,,0,\n"
      "1.250000000,9,3,3,0,8,k,-2,0.500000000\n";
  std::ostringstream out;
  WriteTrace(*Read(text, TraceFormat::kCsv), out);
  EXPECT_EQ(out.str(), text);
}

TEST(TraceFileTest, NamesLineAndFieldOfWhatIsWrong) {
  struct Case {
    const char* text;
    const char* message;
  };
  const std::string header = "arrival_s,prompt_tokens,output_tokens\n";
  for (const Case& c :
       {Case{"0,5,1\n0,x,1\n", "line 3: prompt_tokens: got 'x', wanted a whole number from 1"},
        Case{"0,5\n", "line 2: got 2 cells, wanted 3"}, Case{"-1,5,1\n", "line 2: arrival_s: got '-1', wanted seconds"},
        Case{"nan,5,1\n", "line 2: arrival_s"}, Case{"0,0,1\n", "prompt_tokens: got '0'"},
        Case{"0,99999999999,1\n", "prompt_tokens"}, Case{"0,5,\n", "output_tokens: got 'nothing'"}}) {
    EXPECT_THAT(Read(header + c.text, TraceFormat::kCsv).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(c.message)));
  }
  EXPECT_THAT(Read("arrival_s,promt_tokens\n0,1\n", TraceFormat::kCsv).status().message(),
              std::string("line 2: 'promt_tokens' is no field; there are arrival_s, prompt_tokens, output_tokens, "
                          "max_tokens, prefix, prefix_tokens, client, priority, cancel_after_s"));
  const auto json = [](const char* line) { return Read(line, TraceFormat::kJsonLines).status(); };
  EXPECT_THAT(json("[1]").message(), std::string("line 1: got something else than one JSON object"));
  EXPECT_THAT(json("{\"arrival_s\":1").message(), std::string("line 1: got something else than one JSON object"));
  EXPECT_FALSE(json(R"({"arrival_s":true,"prompt_tokens":1,"output_tokens":1})").ok());
  EXPECT_FALSE(json(R"({"arrival_s":0,"prompt_tokens":2.5,"output_tokens":1})").ok());
  EXPECT_FALSE(json(R"({"arrival_s":0,"prompt_tokens":2,"output_tokens":3,"max_tokens":2})").ok());
  EXPECT_FALSE(json(R"({"arrival_s":0,"prompt_tokens":2,"output_tokens":3,"prefix":1,"prefix_tokens":3})").ok());
}

TEST(TraceFileTest, TheFilesNameTellsItsFormat) {
  EXPECT_THAT(ReadTraceFile("trace.txt").status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(".jsonl")));
  EXPECT_THAT(ReadTraceFile("does/not/exist.csv").status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("cannot be opened")));
}

}  // namespace
}  // namespace tessera
