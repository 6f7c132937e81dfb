/* A private PostgreSQL server for the bench scripts: prints the store's URL on stdout and serves
 * until its stdin ends. */
#include <unistd.h>
#include <stdio.h>
#include <stdlib.h>
#include "bench/store.h"

int main(void)
{
    char byte;
    struct pgcluster *cluster =
        pgcluster_start("fsync = on\nshared_buffers = 512MB\nmax_wal_size = 4GB\n");
    char *url = pgcluster_store(cluster);
    puts(url);
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    free(url);
    pgcluster_stop(cluster);
    return 0;
}
