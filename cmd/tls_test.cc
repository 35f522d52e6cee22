#include "cmd/tls.h"

#include <grpcpp/grpcpp.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_format.h"
#include "base/status_matchers.h"
#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gtest/gtest.h"
#include "server/testing/certificates.h"

namespace tessera {
namespace {

using testing::HasSubstr;

class TlsTest : public testing::Test {
 protected:
  TlsTest() {
    folder_ = std::filesystem::path(testing::TempDir()) /
              (std::string("tls_") + testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
  }
  ~TlsTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) const {
    const std::string path = folder_ / name;
    std::ofstream(path) << text;
    return path;
  }
  TlsFiles Files() const {
    return {Write("cert", one_.certificate), Write("key", one_.private_key), Write("ca", authority_.certificate())};
  }

  TestAuthority authority_;
  TestCertificate one_ = authority_.Issue("one");
  TestCertificate other_ = authority_.Issue("other");
  std::filesystem::path folder_;
};

TEST_F(TlsTest, NoFilesMeanPlainConnections) {
  EXPECT_THAT(MakeServerCredentials(TlsFiles()), IsOk());
  EXPECT_THAT(MakeChannelCredentials(TlsFiles()), IsOk());
  EXPECT_TRUE(ReadIdentity({})->certificate_chain.empty());
}

TEST_F(TlsTest, TakesFilesThatBelongTogether) {
  EXPECT_THAT(MakeServerCredentials(Files()), IsOk());
  EXPECT_THAT(MakeChannelCredentials(Files()), IsOk());
  EXPECT_EQ(ReadIdentity({Files().cert, Files().key})->private_key, one_.private_key);
}

TEST_F(TlsTest, RefusesSomeOfTheFiles) {
  TlsFiles files = Files();
  files.ca.clear();
  EXPECT_THAT(MakeServerCredentials(files), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("all three")));
  EXPECT_THAT(MakeChannelCredentials(files), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("all three")));
  EXPECT_THAT(ReadIdentity({files.cert, ""}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("both or none")));
}

TEST_F(TlsTest, NamesTheFlagAndTheFileThatIsWrong) {
  TlsFiles files = Files();
  files.cert = folder_ / "nowhere";
  EXPECT_THAT(MakeServerCredentials(files), StatusIs(absl::StatusCode::kNotFound, HasSubstr("--tls-cert")));
  files = Files();
  files.cert = Write("cert", "not a certificate");
  EXPECT_THAT(MakeServerCredentials(files), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--tls-cert")));
  files = Files();
  files.key = Write("key", one_.certificate);
  EXPECT_THAT(MakeServerCredentials(files), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--tls-key")));
  files = Files();
  files.key = Write("key", other_.private_key);
  EXPECT_THAT(MakeServerCredentials(files),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is not the key of the first certificate")));
  files = Files();
  files.ca = Write("ca", authority_.certificate() + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  EXPECT_THAT(MakeServerCredentials(files), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--tls-ca")));
  files = Files();
  files.cert = Write("cert", std::string(2 << 20, 'x'));
  EXPECT_THAT(MakeServerCredentials(files), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most")));
}

TEST_F(TlsTest, RefusesACertificateThatHasExpired) {
  const TestCertificate old = authority_.Issue("old", -60);
  EXPECT_THAT(ReadIdentity({Write("cert", old.certificate), Write("key", old.private_key)}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has expired")));
}

// A role that listens, and how far a role that connects gets.
class TlsConnectionTest : public TlsTest {
 protected:
  void Listen() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    builder.AddListeningPort("127.0.0.1:0", *MakeServerCredentials(Files()), &port_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  grpc::Status Call(const std::shared_ptr<grpc::ChannelCredentials>& credentials) const {
    const auto channel = grpc::CreateChannel(absl::StrFormat("127.0.0.1:%d", port_), credentials);
    const auto stub = grpc::health::v1::Health::NewStub(channel);
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckResponse response;
    return stub->Check(&context, {}, &response);
  }

  grpc::health::v1::Health::CallbackService service_;  // does nothing: a call that reaches it is UNIMPLEMENTED
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(TlsConnectionTest, RolesOfOneAuthorityMeet) {
  Listen();
  EXPECT_EQ(Call(*MakeChannelCredentials(Files())).error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(TlsConnectionTest, OthersDoNot) {
  Listen();
  EXPECT_EQ(Call(grpc::InsecureChannelCredentials()).error_code(), grpc::StatusCode::UNAVAILABLE) << "no TLS";
  EXPECT_EQ(Call(grpc::SslCredentials({.pem_root_certs = authority_.certificate()})).error_code(),
            grpc::StatusCode::UNAVAILABLE)
      << "no certificate of its own";
  const TestAuthority stranger;
  const TestCertificate strange = stranger.Issue("one");
  TlsFiles files = Files();
  files.cert = Write("strange_cert", strange.certificate);
  files.key = Write("strange_key", strange.private_key);
  EXPECT_EQ(Call(*MakeChannelCredentials(files)).error_code(), grpc::StatusCode::UNAVAILABLE)
      << "a certificate of another authority";
  files = Files();
  files.ca = Write("strange_ca", stranger.certificate());
  EXPECT_EQ(Call(*MakeChannelCredentials(files)).error_code(), grpc::StatusCode::UNAVAILABLE)
      << "it trusts another authority";
}

}  // namespace
}  // namespace tessera
