#include "worker/checkpoint/progress_reporter.h"

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>

#include "base/fake_clock.h"
#include "gmock/gmock.h"

namespace tessera {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

// A file in memory that stands for a terminal.
class ProgressBarTest : public testing::Test {
 protected:
  ProgressBarTest() : file_(open_memstream(&data_, &size_)) {}
  ~ProgressBarTest() override {
    std::fclose(file_);
    std::free(data_);
  }
  std::string Shown() {
    std::fflush(file_);
    return {data_, size_};
  }

  char* data_ = nullptr;
  size_t size_ = 0;
  std::FILE* file_;
  FakeClock clock_;
};

TEST_F(ProgressBarTest, ShowsShareAndTimeLeft) {
  ProgressBar bar("loading", file_, clock_);
  bar.Update(0, 40);
  clock_.Advance(absl::Seconds(5));
  bar.Update(10, 40);
  EXPECT_THAT(Shown(), AllOf(HasSubstr("[#######                       ]  25 %"), HasSubstr("5 s, 15 s left"),
                             Not(EndsWith("\n"))));
}

TEST_F(ProgressBarTest, IsDrawnAtMostTenTimesASecond) {
  ProgressBar bar("loading", file_, clock_);
  bar.Update(1, 100);
  const size_t once = Shown().size();
  clock_.Advance(absl::Milliseconds(99));
  bar.Update(2, 100);
  EXPECT_EQ(Shown().size(), once);
  clock_.Advance(absl::Milliseconds(1));
  bar.Update(3, 100);
  EXPECT_GT(Shown().size(), once);
}

TEST_F(ProgressBarTest, EndsItsLineOnceAndAtOnce) {
  ProgressBar bar("loading", file_, clock_);
  bar.Update(1, 2);
  bar.Update(2, 2);
  EXPECT_THAT(Shown(), AllOf(HasSubstr("100 %"), EndsWith("\n")));
  const size_t size = Shown().size();
  bar.Update(2, 2);
  EXPECT_EQ(Shown().size(), size);
}

TEST_F(ProgressBarTest, NothingToDoIsDone) {
  ProgressBar bar("loading", file_, clock_);
  bar.Update(0, 0);
  EXPECT_THAT(Shown(), HasSubstr("100 %"));
}

TEST(ProgressLogTest, WritesALineEveryTenSecondsAndOneAtTheEnd) {
  std::ostringstream lines;
  const auto before = spdlog::default_logger();
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(lines)));
  spdlog::default_logger()->set_pattern("%v");
  FakeClock clock;
  ProgressLog log("loading", clock);
  for (int i = 0; i < 20; ++i) {
    log.Update(i, 20);
    clock.Advance(absl::Seconds(1));
  }
  log.Update(20, 20);
  log.Update(20, 20);
  spdlog::set_default_logger(before);
  EXPECT_EQ(lines.str(), "loading: 0 %, 0 s\nloading: 50 %, 10 s, 10 s left\nloading: 100 %, 20 s\n");
}

TEST(MakeProgressReporterTest, AFileIsNoTerminal) {
  FakeClock clock;
  std::FILE* file = std::tmpfile();
  EXPECT_NE(dynamic_cast<ProgressLog*>(MakeProgressReporter("loading", file, clock).get()), nullptr);
  std::fclose(file);
}

}  // namespace
}  // namespace tessera
