#include "scheduler/remote/worker_addresses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status_matchers.h"

namespace tessera {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(WorkerAddressesTest, AListIsInTheOrderOfTheRanks) {
  const absl::StatusOr<WorkerAddresses> got = ParseAddresses("--workers", "b:7000,a:7001,[::1]:7002");
  ASSERT_THAT(got, IsOk());
  EXPECT_FALSE(got->by_dns());
  EXPECT_THAT(got->hosts, ElementsAre("b:7000", "a:7001", "[::1]:7002"));
}

TEST(WorkerAddressesTest, ANameIsLookedUp) {
  const absl::StatusOr<WorkerAddresses> got = ParseAddresses("--workers", "dns:workers.group-0.svc:7000");
  ASSERT_THAT(got, IsOk());
  EXPECT_TRUE(got->by_dns());
  EXPECT_EQ(got->dns_name, "workers.group-0.svc");
  EXPECT_EQ(got->dns_port, "7000");
}

TEST(WorkerAddressesTest, WhatIsNeitherIsRefused) {
  EXPECT_THAT(ParseAddresses("--workers", ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--workers: got '', wanted HOST:PORT")));
  EXPECT_THAT(ParseAddresses("--workers", "a:7000,"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("HOST:PORT")));
  EXPECT_THAT(ParseAddresses("--workers", "a:70000"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 to 65535")));
  EXPECT_THAT(ParseAddresses("--workers", "a:x"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("port 'x'")));
  EXPECT_THAT(ParseAddresses("--workers", "a:1,b:1,a:1"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("twice")));
  EXPECT_THAT(ParseAddresses("--workers", "dns:name"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dns:NAME:PORT")));
}

TEST(WorkerAddressesTest, NumericNamesNeedNoNameServer) {
  const absl::StatusOr<std::vector<std::string>> v4 = ResolveDns("127.0.0.1", "7000");
  ASSERT_THAT(v4, IsOk());
  EXPECT_THAT(*v4, ElementsAre("127.0.0.1:7000"));
  const absl::StatusOr<std::vector<std::string>> v6 = ResolveDns("::1", "7000");
  ASSERT_THAT(v6, IsOk());
  EXPECT_THAT(*v6, ElementsAre("[::1]:7000"));
}

}  // namespace
}  // namespace tessera
