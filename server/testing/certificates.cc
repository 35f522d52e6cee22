#include "server/testing/certificates.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <random>

#include "base/check.h"

namespace tessera {
namespace {

std::string TakeText(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

std::string ToPem(X509* certificate) {
  BIO* bio = BIO_new(BIO_s_mem());
  TESSERA_CHECK(PEM_write_bio_X509(bio, certificate) == 1);
  return TakeText(bio);
}

std::string ToPem(EVP_PKEY* key) {
  BIO* bio = BIO_new(BIO_s_mem());
  TESSERA_CHECK(PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return TakeText(bio);
}

void AddExtension(X509* certificate, int nid, const char* value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
  TESSERA_CHECK(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

}  // namespace

TestAuthority::Certificate TestAuthority::MakeCertificate(const std::string& common_name, EVP_PKEY& key,
                                                          int valid_seconds) {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  std::random_device random;
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), static_cast<long>(random() >> 1));
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -7200);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), valid_seconds);
  X509_set_pubkey(certificate.get(), &key);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(common_name.c_str()), -1,
                             -1, 0);
  return certificate;
}

TestAuthority::TestAuthority() : key_(EVP_EC_gen("P-256")) {
  certificate_ = MakeCertificate("test authority", *key_, 3600);
  X509_set_issuer_name(certificate_.get(), X509_get_subject_name(certificate_.get()));
  AddExtension(certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
  TESSERA_CHECK(X509_sign(certificate_.get(), key_.get(), EVP_sha256()) > 0);
  certificate_pem_ = ToPem(certificate_.get());
}

TestCertificate TestAuthority::Issue(const std::string& common_name, int valid_seconds) const {
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate = MakeCertificate(common_name, *key, valid_seconds);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate_.get()));
  AddExtension(certificate.get(), NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
  TESSERA_CHECK(X509_sign(certificate.get(), key_.get(), EVP_sha256()) > 0);
  return {ToPem(certificate.get()), ToPem(key.get())};
}

}  // namespace tessera
