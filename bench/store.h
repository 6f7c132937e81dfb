/* The store that a bench program measures: the embedded one in a folder, or a private PostgreSQL
 * server with durable commits, reached through its Unix socket. Failures end the program. */
#ifndef CIS_BENCH_STORE_H
#define CIS_BENCH_STORE_H

#include <string.h>
#include "store/postgres/postgres.h"
#include "store/sqlite/sqlite.h"
#include "tools/pgcluster.h"
#include "store/calls.h"

struct bench_store {
    cis_store *store;
    struct pgcluster *cluster; /* NULL: embedded */
    char *url;
};

/* kind: "sqlite" or "postgres". */
static inline struct bench_store bench_store_open(const char *kind, const char *folder)
{
    struct bench_store b = {NULL, NULL, NULL};
    struct cis_error err = {0};
    cis_code code;
    if (strcmp(kind, "postgres") == 0) {
        b.cluster = pgcluster_start("fsync = on\nshared_buffers = 512MB\nmax_wal_size = 4GB\n");
        b.url = pgcluster_store(b.cluster);
        code = cis_store_postgres_open(b.url, NULL, &b.store, NULL, &err);
    } else if (strcmp(kind, "sqlite") == 0) {
        code = cis_store_sqlite_open(folder, &b.store, &err);
    } else {
        fprintf(stderr, "%s: not sqlite or postgres\n", kind);
        exit(2);
    }
    if (code != CIS_OK) {
        fprintf(stderr, "%s: %s\n", kind, err.msg);
        exit(1);
    }
    return b;
}

static inline void bench_store_close(struct bench_store *b)
{
    cis_store_close(b->store);
    free(b->url);
    if (b->cluster != NULL) {
        pgcluster_stop(b->cluster);
    }
}

#endif
