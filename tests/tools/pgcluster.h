/* A private PostgreSQL server for a test program: data in a temporary folder, a Unix socket only,
 * run as an unprivileged user when the tests run as root. A process of its own watches over it and
 * ends and removes it when the test program is gone, however that came about. Failures end the
 * program: tests of the store cannot go on without it. One thread. */
#ifndef CIS_TESTS_PGCLUSTER_H
#define CIS_TESTS_PGCLUSTER_H

#include <libpq-fe.h>

struct pgcluster;

/* settings: more of postgresql.conf, "fsync = on\n…", may be NULL. By itself fsync is off: what a
 * killed server wrote is kept by the system. */
struct pgcluster *pgcluster_start(const char *settings);
void pgcluster_stop(struct pgcluster *cluster);
/* SIGKILL to the server's first process; returns when it is gone. */
void pgcluster_kill(struct pgcluster *cluster);
/* Starts it again; returns when it takes connections. */
void pgcluster_again(struct pgcluster *cluster);
/* Where its socket is; the port is 5432. */
const char *pgcluster_dir(const struct pgcluster *cluster);
/* postgres://USER@/DB?host=DIR; free it. */
char *pgcluster_url(const struct pgcluster *cluster, const char *user, const char *db);
PGconn *pgcluster_connect(const struct pgcluster *cluster, const char *user, const char *db);
/* One or more statements as the superuser. */
void pgcluster_run(const struct pgcluster *cluster, const char *db, const char *sql);
/* A database with the store's schema and the login role "worker", a member of cis_app: made once,
 * copied for each call. The URL of the copy; pgcluster_drop forgets it. */
char *pgcluster_store(struct pgcluster *cluster);
void pgcluster_drop(const struct pgcluster *cluster, char *url);

#endif
