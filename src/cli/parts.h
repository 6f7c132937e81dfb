/* Components that a command composes: the socket and its plugs, as files named on the command line.
 */
#ifndef CIS_CLI_PARTS_H
#define CIS_CLI_PARTS_H

#include "cli/cli.h"
#include "engine/code/compose.h"

struct cis_cli_parts {
    struct cis_compose_part *parts;
    struct cis_buf *bytes; /* of each part, and of the text last */
    char **names;
    size_t n, room;
    /* Large files are not read, but left open for whoever composes (cis_compose_part.file). */
    bool open;
    size_t nopen;
    struct cis_composition composition;
};

/* Room for n parts. Free with cis_cli_parts_done, also after a failure. */
cis_code cis_cli_parts_init(struct cis_cli_parts *p, size_t n, struct cis_error *err);
/* name NULL: the file's, without its folder and its ending. path "-": stdin. */
cis_code cis_cli_parts_add(struct cis_cli_parts *p, const char *name, const char *path,
                           struct cis_error *err);
/* The same of bytes, which are borrowed. */
cis_code cis_cli_parts_give(struct cis_cli_parts *p, const char *path, struct cis_bytes wasm,
                            struct cis_error *err);
/* Of every option --plug. */
cis_code cis_cli_parts_plugs(struct cis_cli_parts *p, const struct cis_cli *cli,
                             struct cis_error *err);
int cis_cli_count(const struct cis_cli *cli, const char *option);
void cis_cli_parts_done(struct cis_cli_parts *p);

#endif
