#include "server/tokenizer/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tessera {
namespace {

struct RepairCase {
  std::string name;
  std::string bytes;
  std::string repaired;
};
class Utf8RepairTest : public testing::TestWithParam<RepairCase> {};

TEST_P(Utf8RepairTest, EachMaximalInvalidPartBecomesOneReplacementWhateverTheCut) {
  const auto& [name, bytes, repaired] = GetParam();
  EXPECT_EQ(RepairUtf8(bytes), repaired);
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    Utf8Assembler assembler;
    std::string out;
    assembler.Push(bytes.substr(0, cut), out);
    EXPECT_EQ(ValidUtf8Prefix(out), out.size()) << "half a character was emitted at cut " << cut;
    assembler.Push(bytes.substr(cut), out);
    assembler.Flush(out);
    EXPECT_EQ(out, repaired) << "cut " << cut;
  }
}

// Expected values: Python's bytes.decode("utf-8", "replace") written with \ufffd.
INSTANTIATE_TEST_SUITE_P(Utf8, Utf8RepairTest,
                         testing::Values(RepairCase{"Empty", "", ""}, RepairCase{"Ascii", "ab", "ab"},
                                         RepairCase{"Valid", "é日😀", "é日😀"},
                                         RepairCase{"LoneContinuation", "a\x80z", "a\uFFFDz"},
                                         RepairCase{"CutTwoBytes", "a\xC3", "a\uFFFD"},
                                         RepairCase{"CutThreeBytes", "\xE4\xBD", "\uFFFD"},
                                         RepairCase{"CutFourBytes", "\xF0\x9F\x98", "\uFFFD"},
                                         RepairCase{"CutThenText", "\xF0\x9F\x98x", "\uFFFDx"},
                                         RepairCase{"CutThenCharacter", "\xE4\xBD\xE4\xBD\xA0", "\uFFFD\u4F60"},
                                         RepairCase{"Overlong", "\xC0\xAF", "\uFFFD\uFFFD"},
                                         RepairCase{"OverlongThree", "\xE0\x80\x80", "\uFFFD\uFFFD\uFFFD"},
                                         RepairCase{"Surrogate", "\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
                                         RepairCase{"TooLarge", "\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
                                         RepairCase{"NeverALead", "\xFF\xFE", "\uFFFD\uFFFD"}),
                         [](const auto& c) { return c.param.name; });

TEST(Utf8AssemblerTest, HoldsBackAtMostThreeBytesAndReleasesThemWithTheLast) {
  Utf8Assembler assembler;
  std::string out;
  for (const char* byte : {"\xF0", "\x9F", "\x98"}) assembler.Push(byte, out);
  EXPECT_EQ(out, "");
  EXPECT_FALSE(assembler.empty());
  assembler.Push("\x80", out);
  EXPECT_EQ(out, "😀");
  EXPECT_TRUE(assembler.empty());
}

TEST(Utf8AssemblerTest, InvalidPartIsReplacedAsSoonAsItIsProvenInvalid) {
  Utf8Assembler assembler;
  std::string out;
  assembler.Push("\xE2\x82", out);
  EXPECT_EQ(out, "");
  assembler.Push("A", out);
  EXPECT_EQ(out,
            "\uFFFD"
            "A");
}

}  // namespace
}  // namespace tessera
