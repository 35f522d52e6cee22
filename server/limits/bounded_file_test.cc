#include "server/limits/bounded_file.h"

#include <filesystem>
#include <fstream>

#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tessera {
namespace {

using testing::HasSubstr;

TEST(ReadBoundedFileTest, ReadsUpToTheBound) {
  const std::string path = testing::TempDir() + "/bounded_file_test.bin";
  const std::string bytes("a\0b\r\n", 5);
  std::ofstream(path, std::ios::binary) << bytes;
  const auto read = ReadBoundedFile(path, 5);
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(*read, bytes);
  EXPECT_THAT(ReadBoundedFile(path, 4),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has 5 bytes, at most 4 are accepted")));
  std::filesystem::remove(path);
}

TEST(ReadBoundedFileTest, TellsAMissingFileFromOneThatIsNotAFile) {
  EXPECT_THAT(ReadBoundedFile("/nonexistent/file", 10),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no such file")));
  EXPECT_THAT(ReadBoundedFile(testing::TempDir(), 10),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a readable file")));
}

}  // namespace
}  // namespace tessera
