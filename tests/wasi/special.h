/* Guests at whose other end the suite stands: streams, sockets, limits, exit codes, odd modules. */
#ifndef CIS_TESTS_WASI_SPECIAL_H
#define CIS_TESTS_WASI_SPECIAL_H

#include "wasi/suite.h"

enum backend suite_backend(void);
/* A run without files. args end with NULL, or are NULL; std: three streams, or NULL. */
void special_run(const char *file, const char *const *args, struct cis_host_stream *std,
                 struct suite_result *out);
/* It ends by itself, with this exit code. */
void special_exits(const char *file, const char *const *args, int code);

/* For this program's list; static. */
const struct CMUnitTest *special_programs(size_t *out_n); /* programs.c */
const struct CMUnitTest *special_streams(size_t *out_n);  /* streams.c */
const struct CMUnitTest *special_limits(size_t *out_n);   /* limits.c */

#endif
