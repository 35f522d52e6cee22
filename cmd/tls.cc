#include "cmd/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace tessera {
namespace {

constexpr size_t kFileBytesMax = 1 << 20;

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct FreeCertificate {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;
using Certificate = std::unique_ptr<X509, FreeCertificate>;
using PrivateKey = std::unique_ptr<EVP_PKEY, FreeKey>;

Bio BioOf(const std::string& text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

// A key with a password is refused, instead of a question on the terminal.
int NoPassword(char*, int, int, void*) { return -1; }

// A file and the flag that named it.
struct PemFile {
  const char* flag;
  const std::string& path;
};

absl::StatusOr<std::string> ReadText(const PemFile& file) {
  std::ifstream stream(file.path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  if (!stream.is_open() || stream.bad()) {
    return absl::NotFoundError(absl::StrFormat("%s: %s cannot be read", file.flag, file.path));
  }
  if (text.size() > kFileBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: %s has %d bytes, wanted at most %d", file.flag, file.path, text.size(), kFileBytesMax));
  }
  return text;
}

// The first of the certificates; every one must be readable.
absl::StatusOr<Certificate> ParseCertificates(const PemFile& file, const std::string& text) {
  const Bio bio = BioOf(text);
  Certificate first(PEM_read_bio_X509(bio.get(), nullptr, NoPassword, nullptr));
  int count = first != nullptr ? 1 : 0;
  if (first != nullptr) {
    while (Certificate(PEM_read_bio_X509(bio.get(), nullptr, NoPassword, nullptr)) != nullptr) ++count;
  }
  const bool is_at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (count > 0 && is_at_end) return first;
  return absl::InvalidArgumentError(absl::StrFormat("%s: %s: %s, wanted certificates in PEM form", file.flag, file.path,
                                                    count == 0 ? "got none" : "one of them cannot be read"));
}

absl::StatusOr<PrivateKey> ParseKey(const PemFile& file, const std::string& text) {
  const Bio bio = BioOf(text);
  PrivateKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, nullptr));
  ERR_clear_error();
  if (key != nullptr) return key;
  return absl::InvalidArgumentError(
      absl::StrFormat("%s: %s: wanted a private key in PEM form, without a password", file.flag, file.path));
}

absl::StatusOr<PemIdentity> ReadPair(const PemFile& cert_file, const PemFile& key_file) {
  PemIdentity identity;
  TESSERA_ASSIGN_OR_RETURN(identity.certificate_chain, ReadText(cert_file));
  TESSERA_ASSIGN_OR_RETURN(identity.private_key, ReadText(key_file));
  TESSERA_ASSIGN_OR_RETURN(const Certificate certificate, ParseCertificates(cert_file, identity.certificate_chain));
  TESSERA_ASSIGN_OR_RETURN(const PrivateKey key, ParseKey(key_file, identity.private_key));
  const bool belongs = X509_check_private_key(certificate.get(), key.get()) == 1;
  const bool is_over = X509_cmp_current_time(X509_get0_notAfter(certificate.get())) < 0;
  ERR_clear_error();
  if (!belongs) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: %s is not the key of the first certificate of %s",
                                                      key_file.flag, key_file.path, cert_file.path));
  }
  if (is_over) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: the first certificate of %s has expired", cert_file.flag, cert_file.path));
  }
  return identity;
}

struct RoleIdentity {
  PemIdentity identity;
  std::string authorities;
};

// Requires: not all paths are empty.
absl::StatusOr<RoleIdentity> ReadRole(const TlsFiles& files) {
  if (files.cert.empty() || files.key.empty() || files.ca.empty()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "--tls-cert, --tls-key and --tls-ca: got only some of them ('%s', '%s', '%s'), wanted all three "
        "or none",
        files.cert, files.key, files.ca));
  }
  RoleIdentity role;
  TESSERA_ASSIGN_OR_RETURN(role.identity, ReadPair({"--tls-cert", files.cert}, {"--tls-key", files.key}));
  const PemFile ca{"--tls-ca", files.ca};
  TESSERA_ASSIGN_OR_RETURN(role.authorities, ReadText(ca));
  TESSERA_RETURN_IF_ERROR(ParseCertificates(ca, role.authorities).status());
  return role;
}

bool HasNone(const TlsFiles& files) { return files.cert.empty() && files.key.empty() && files.ca.empty(); }

}  // namespace

void AddTlsFlags(CLI::App& app, TlsFiles& files) {
  const std::string group = "TLS between the roles";
  app.add_option("--tls-cert", files.cert, "This role's certificate, PEM; with --tls-key and --tls-ca")->group(group);
  app.add_option("--tls-key", files.key, "Its private key, PEM")->group(group);
  app.add_option("--tls-ca", files.ca, "Authorities of the peers' certificates, PEM")->group(group);
}

void AddPublicTlsFlags(CLI::App& app, PublicTlsFiles& files) {
  const std::string group = "TLS on the public side";
  app.add_option("--public-tls-cert", files.cert, "Certificate chain of HTTP and gRPC, PEM (default: no TLS)")
      ->group(group);
  app.add_option("--public-tls-key", files.key, "Its private key, PEM")->group(group);
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(const TlsFiles& files) {
  if (HasNone(files)) return grpc::InsecureServerCredentials();
  TESSERA_ASSIGN_OR_RETURN(const RoleIdentity role, ReadRole(files));
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = role.authorities;
  options.pem_key_cert_pairs = {{role.identity.private_key, role.identity.certificate_chain}};
  return grpc::SslServerCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(const TlsFiles& files) {
  if (HasNone(files)) return grpc::InsecureChannelCredentials();
  TESSERA_ASSIGN_OR_RETURN(const RoleIdentity role, ReadRole(files));
  return grpc::SslCredentials({.pem_root_certs = role.authorities,
                               .pem_private_key = role.identity.private_key,
                               .pem_cert_chain = role.identity.certificate_chain});
}

absl::StatusOr<PemIdentity> ReadIdentity(const PublicTlsFiles& files) {
  if (files.cert.empty() && files.key.empty()) return PemIdentity();
  if (files.cert.empty() || files.key.empty()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "--public-tls-cert and --public-tls-key: got only one of them ('%s', '%s'), wanted both or none", files.cert,
        files.key));
  }
  return ReadPair({"--public-tls-cert", files.cert}, {"--public-tls-key", files.key});
}

std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const PemIdentity& identity) {
  if (identity.certificate_chain.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  options.pem_key_cert_pairs = {{identity.private_key, identity.certificate_chain}};
  return grpc::SslServerCredentials(options);
}

}  // namespace tessera
