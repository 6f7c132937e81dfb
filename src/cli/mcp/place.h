/* What commands about MCP share. */
#ifndef CIS_CLI_MCP_PLACE_H
#define CIS_CLI_MCP_PLACE_H

#include <jansson.h>
#include "cli/cli.h"

/* The ":cow" or ":cow=BRANCH" of HOST:cow[=BRANCH]; NULL: it is no such text. */
const char *cis_cli_mcp_cow(const char *spec);

/* The token of the file, or of a new one; without a path a new one. */
cis_code cis_cli_mcp_token(const char *path, struct cis_buf *out, struct cis_error *err);

/* How a client calls what an entry has. */
struct cis_cli_mcp_words {
    const char *url, *headers;
    bool type; /* it says which kind of server it is */
};
/* The entry of a server over HTTP, by --http, --token-file and --no-token. */
cis_code cis_cli_mcp_http_entry(const struct cis_cli *cli, const struct cis_cli_mcp_words *words,
                                json_t **out, struct cis_error *err);

#endif
