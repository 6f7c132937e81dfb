/* A proxy before a PostgreSQL server that understands where messages begin, and cuts connections
 * around the COMMIT that a client sends. Listens on DIR/.s.PGSQL.5432 of a folder of its own. */
#ifndef CIS_TESTS_PGPROXY_H
#define CIS_TESTS_PGPROXY_H

#include <stdbool.h>

/* Where to cut; what is before the point has been passed on, nothing after it. */
enum pgproxy_cut {
    PGPROXY_NONE,
    PGPROXY_BEFORE_BIND,    /* client's messages for COMMIT: none of them arrives */
    PGPROXY_IN_BIND,        /* a part of the first */
    PGPROXY_AFTER_BIND,     /* the first */
    PGPROXY_BEFORE_EXECUTE, /* all before the one that does it */
    PGPROXY_AFTER_EXECUTE,  /* the one that does it; no sync */
    PGPROXY_AFTER_SYNC,     /* all, but nothing of the answer comes back */
    PGPROXY_BEFORE_DONE,    /* the answer up to "COMMIT" done */
    PGPROXY_IN_DONE,        /* a part of that */
    PGPROXY_AFTER_DONE,     /* that, but not that the server is ready */
    PGPROXY_IN_READY,       /* a part of that */
    PGPROXY_LATE,           /* the client is cut off before COMMIT; the server gets it later */
    PGPROXY_CUTS
};

struct pgproxy;
struct pgproxy *pgproxy_start(const char *server_dir);
void pgproxy_stop(struct pgproxy *proxy);
const char *pgproxy_dir(const struct pgproxy *proxy);
/* The next COMMIT is cut there, once. */
void pgproxy_arm(struct pgproxy *proxy, enum pgproxy_cut cut);
/* Was it? */
bool pgproxy_fired(struct pgproxy *proxy);
/* How often clients asked for an answer (sync) since the last call. */
int pgproxy_trips(struct pgproxy *proxy);
/* true: new connections are refused. */
void pgproxy_shut(struct pgproxy *proxy, bool shut);
/* With a cut: also shut from that moment on. */
void pgproxy_shut_at_cut(struct pgproxy *proxy);

#endif
