#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace tessera {

struct TestCertificate {
  std::string certificate;  // PEM
  std::string private_key;  // PEM
};

// An authority that lives as long as a test and certifies whatever it is asked to.
class TestAuthority {
 public:
  TestAuthority();

  const std::string& certificate() const { return certificate_pem_; }
  // For localhost and 127.0.0.1; valid from now on for so long, or until some time ago.
  TestCertificate Issue(const std::string& common_name, int valid_seconds = 3600) const;

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const { X509_free(certificate); }
  };
  using Key = std::unique_ptr<EVP_PKEY, Free>;
  using Certificate = std::unique_ptr<X509, Free>;

  static Certificate MakeCertificate(const std::string& common_name, EVP_PKEY& key, int valid_seconds);

  Key key_;
  Certificate certificate_;
  std::string certificate_pem_;
};

}  // namespace tessera
