#pragma once

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace CLI {
class App;
}

namespace tessera {

// Files with which the roles of a cluster prove to each other who they are: all three, or none for plain connections.
struct TlsFiles {
  std::string cert;  // PEM: this role's certificate, then those between it and the authority
  std::string key;   // PEM: its private key, without a password
  std::string ca;    // PEM: the authorities that peers' certificates must be signed by
};
void AddTlsFlags(CLI::App& app, TlsFiles& files);

// For the role that listens: only clients with a certificate of the authority are let in. Refuses files that cannot be
// read, do not hold what they should, or do not belong together.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(const TlsFiles& files);

// For the role that connects: the peer's certificate must be of the authority and for the name that is connected to.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(const TlsFiles& files);

// What clients on the public side see; they need no certificate.
struct PublicTlsFiles {
  std::string cert;
  std::string key;
};
void AddPublicTlsFlags(CLI::App& app, PublicTlsFiles& files);

// A certificate chain and its key, as text that has been checked; both empty: no TLS.
struct PemIdentity {
  std::string certificate_chain;
  std::string private_key;
};
absl::StatusOr<PemIdentity> ReadIdentity(const PublicTlsFiles& files);
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const PemIdentity& identity);

}  // namespace tessera
