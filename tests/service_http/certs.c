#include "service_http/certs.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include "base/mem.h"

struct test_ca {
    EVP_PKEY *key;
    X509 *cert;
};

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = ext != NULL && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

static X509 *certificate(const char *name, long serial, EVP_PKEY *key, long from, long to)
{
    X509 *cert = X509_new();
    if (cert == NULL) {
        return NULL;
    }
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), from);
    X509_gmtime_adj(X509_getm_notAfter(cert), to);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    return cert;
}

test_ca *test_ca_new(void)
{
    test_ca *ca = cis_zalloc(sizeof *ca);
    if (ca == NULL) {
        return NULL;
    }
    ca->key = EVP_EC_gen("P-256");
    ca->cert = certificate("cis test authority", 1, ca->key, -3600 * 24 * 30, 3600 * 24);
    if (ca->cert == NULL) {
        test_ca_free(ca);
        return NULL;
    }
    X509_set_issuer_name(ca->cert, X509_get_subject_name(ca->cert));
    if (!add_extension(ca->cert, ca->cert, NID_basic_constraints, "critical,CA:TRUE") ||
        !add_extension(ca->cert, ca->cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_extension(ca->cert, ca->cert, NID_subject_key_identifier, "hash") ||
        X509_sign(ca->cert, ca->key, EVP_sha256()) == 0) {
        test_ca_free(ca);
        return NULL;
    }
    return ca;
}

void test_ca_free(test_ca *ca)
{
    if (ca != NULL) {
        EVP_PKEY_free(ca->key);
        X509_free(ca->cert);
        cis_free(ca);
    }
}

static bool write_pem(const char *path, X509 *cert, EVP_PKEY *key)
{
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        return false;
    }
    bool ok = cert != NULL ? PEM_write_X509(file, cert) == 1
                           : PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1;
    return fclose(file) == 0 && ok;
}

bool test_ca_write(const test_ca *ca, const char *cert_path)
{
    return write_pem(cert_path, ca->cert, NULL);
}

bool test_ca_leaf(const test_ca *ca, const char *names, long from, long to, const char *cert_path,
                  const char *key_path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = certificate("leaf", 2, key, from, to);
    bool ok = cert != NULL && X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) == 1 &&
              add_extension(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
              add_extension(cert, ca->cert, NID_subject_alt_name, names) &&
              X509_sign(cert, ca->key, EVP_sha256()) != 0 && write_pem(cert_path, cert, NULL) &&
              write_pem(key_path, NULL, key);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ok;
}
