/* Certificates for TLS tests, made on the spot: a private authority and leaves signed by it. */
#ifndef CIS_TESTS_CERTS_H
#define CIS_TESTS_CERTS_H

#include <stdbool.h>

typedef struct test_ca test_ca;

/* NULL when OpenSSL refuses. */
test_ca *test_ca_new(void);
void test_ca_free(test_ca *ca);
bool test_ca_write(const test_ca *ca, const char *cert_path);
/* names: subjectAltName in OpenSSL's notation ("DNS:a.test,IP:127.0.0.1"); valid from now + from to
 * now + to seconds. */
bool test_ca_leaf(const test_ca *ca, const char *names, long from, long to, const char *cert_path,
                  const char *key_path);

#endif
