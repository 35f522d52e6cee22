#include "worker/checkpoint/safetensors_header.h"

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "worker/checkpoint/checkpoint_builder.h"

namespace tessera {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

absl::StatusOr<std::vector<StoredTensor>> Parse(const std::string& bytes) {
  return ParseSafetensorsHeader(bytes, static_cast<int64_t>(bytes.size()), "x.safetensors");
}

TEST(SafetensorsHeaderTest, ReadsTensorsInTheOrderOfTheirData) {
  const std::string header =
      R"({"__metadata__": {"format": "pt"}, "b": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [4, 16]},)"
      R"("a": {"shape": [], "data_offsets": [0, 4], "dtype": "F32"}}   )";
  const auto tensors = Parse(SafetensorsBytes(header, std::string(16, 'x')));
  ASSERT_THAT(tensors, IsOk());
  ASSERT_THAT(*tensors, SizeIs(2));
  EXPECT_EQ((*tensors)[0].name, "a");
  EXPECT_THAT((*tensors)[0].shape, IsEmpty());
  EXPECT_EQ((*tensors)[1].name, "b");
  EXPECT_EQ((*tensors)[1].dtype, StoredDType::kBF16);
  EXPECT_THAT((*tensors)[1].shape, ElementsAre(2, 3));
  EXPECT_EQ((*tensors)[1].begin, static_cast<int64_t>(8 + header.size() + 4));
  EXPECT_EQ((*tensors)[1].bytes, 12);
}

TEST(SafetensorsHeaderTest, TakesAFileWithoutTensorsAndTensorsWithoutValues) {
  EXPECT_THAT(Parse(SafetensorsBytes("{}", "")), IsOk());
  EXPECT_THAT(Parse(SafetensorsBytes(R"({"a": {"dtype": "I64", "shape": [0, 7], "data_offsets": [0, 0]},
                                         "b": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}})",
                                     "x")),
              IsOk());
}

TEST(SafetensorsHeaderTest, RefusesEveryTruncationOfAFile) {
  const std::string bytes =
      SafetensorsBytes(R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})", std::string(8, 'x'));
  ASSERT_THAT(Parse(bytes), IsOk());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(Parse(bytes.substr(0, size)), StatusIs(StatusCode::kInvalidArgument, HasSubstr("x.safetensors")))
        << size << " bytes of " << bytes.size();
  }
  EXPECT_THAT(Parse(bytes + "y"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("1 bytes after the last tensor")));
}

struct BadHeader {
  std::string test_name, header, message;
};
class BadHeaderTest : public testing::TestWithParam<BadHeader> {};
TEST_P(BadHeaderTest, IsRefused) {
  EXPECT_THAT(Parse(SafetensorsBytes(GetParam().header, std::string(16, 'x'))),
              StatusIs(StatusCode::kInvalidArgument, AllOf(HasSubstr("x.safetensors"), HasSubstr(GetParam().message))));
}

// The inside of an entry with two good tensors beside it would hide nothing: each case is wrong in one thing.
INSTANTIATE_TEST_SUITE_P(
    Headers, BadHeaderTest,
    testing::Values(
        BadHeader{"NoJson", "hello", "not JSON"}, BadHeader{"List", "[]", "a list"}, BadHeader{"Empty", "", "not JSON"},
        BadHeader{"TwoValues", "{} {}", "not JSON"}, BadHeader{"Text", "\"a\"", "a string"},
        BadHeader{"NoData", "{}", "16 bytes after the last tensor"},
        BadHeader{"Overlap",
                  R"({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]},
                      "b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}})",
                  "'a' and 'b' overlap in 4 bytes"},
        BadHeader{"SamePlace",
                  R"({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
                      "b": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}})",
                  "overlap in 16 bytes"},
        BadHeader{"Gap",
                  R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                      "b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}})",
                  "4 bytes before 'b'"},
        BadHeader{"GapInFront", R"({"a": {"dtype": "F32", "shape": [3], "data_offsets": [4, 16]}})",
                  "4 bytes before 'a'"},
        BadHeader{"PastTheEnd", R"({"a": {"dtype": "F32", "shape": [5], "data_offsets": [0, 20]}})",
                  "the file holds 16 bytes"},
        BadHeader{"Backwards", R"({"a": {"dtype": "F32", "shape": [0], "data_offsets": [16, 0]}})", "[16, 0]"},
        BadHeader{"HugeOffset", R"({"a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 18446744073709551615]}})",
                  "18446744073709551615"},
        BadHeader{"WrongSize", R"({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 16]}})",
                  "'a' is F32 [3] but has 16 bytes"},
        BadHeader{"ProductOverflows",
                  R"({"a": {"dtype": "F32", "shape": [4294967296, 4294967296, 4], "data_offsets": [0, 16]}})",
                  "but has 16 bytes"},
        BadHeader{"ProductOverflowsTo16",
                  R"({"a": {"dtype": "U8", "shape": [4294967296, 4294967297, 16], "data_offsets": [0, 16]}})",
                  "but has 16 bytes"},
        BadHeader{"UnknownDType", R"({"a": {"dtype": "F4", "shape": [16], "data_offsets": [0, 16]}})", "dtype 'F4'"},
        BadHeader{"NegativeShape", R"({"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}})", "negative"},
        BadHeader{"FractionalShape", R"({"a": {"dtype": "F32", "shape": [4.0], "data_offsets": [0, 16]}})", "fraction"},
        BadHeader{"NineDimensions", R"({"a": {"dtype": "F32", "shape": [4,1,1,1,1,1,1,1,1], "data_offsets": [0, 16]}})",
                  "a number"},
        BadHeader{"ThreeOffsets", R"({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16, 16]}})", "a number"},
        BadHeader{"OneOffset", R"({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0]}})", "lacks one of"},
        BadHeader{"NoShape", R"({"a": {"dtype": "F32", "data_offsets": [0, 16]}})", "lacks one of"},
        BadHeader{"NoDType", R"({"a": {"shape": [4], "data_offsets": [0, 16]}})", "lacks one of"},
        BadHeader{"EntryNoObject", R"({"a": 5})", "a number"}, BadHeader{"EntryNull", R"({"a": null})", "null"},
        BadHeader{"UnknownField", R"({"a": {"dtype": "F32", "shape": [4], "offset": 3}})", "unknown or repeated"},
        BadHeader{"FieldTwice", R"({"a": {"dtype": "F32", "dtype": "F32", "shape": [4], "data_offsets": [0, 16]}})",
                  "unknown or repeated"},
        BadHeader{"ShapeTwice", R"({"a": {"dtype": "F32", "shape": [4], "shape": [4], "data_offsets": [0, 16]}})",
                  "unknown or repeated"},
        BadHeader{"ShapeNoList", R"({"a": {"dtype": "F32", "shape": 4, "data_offsets": [0, 16]}})", "a number"},
        BadHeader{"ShapeOfLists", R"({"a": {"dtype": "F32", "shape": [[4]], "data_offsets": [0, 16]}})", "a list"},
        BadHeader{"NameTwice",
                  R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                      "a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}})",
                  "'a' is listed twice"},
        BadHeader{"MetadataNoStrings", R"({"__metadata__": {"a": 1}})", "a number"},
        BadHeader{"MetadataNested", R"({"__metadata__": {"a": {"b": "c"}}})", "an object"},
        BadHeader{"DeepNesting", "{\"a\":" + std::string(1 << 20, '['), "a list"},
        BadHeader{"LongName", "{\"" + std::string(1000, 'n') + "\": {}}", "512 bytes"}),
    [](auto& c) { return c.param.test_name; });

TEST(SafetensorsHeaderTest, RefusesAHeaderLengthPastTheFileOrTheLimit) {
  std::string bytes = SafetensorsBytes("{}", "");
  bytes[7] = '\x7f';  // a length of about 2^62
  EXPECT_THAT(Parse(bytes), StatusIs(StatusCode::kInvalidArgument, HasSubstr("truncated")));
  const uint64_t length = kSafetensorsHeaderBytesMax + 1;
  std::memcpy(bytes.data(), &length, sizeof(length));
  EXPECT_THAT(ParseSafetensorsHeader(bytes, int64_t{1} << 40, "x.safetensors"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("100000000 are the limit")));
}

}  // namespace
}  // namespace tessera
