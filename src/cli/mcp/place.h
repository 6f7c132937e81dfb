/* What commands about MCP share. */
#ifndef CIS_CLI_MCP_PLACE_H
#define CIS_CLI_MCP_PLACE_H

#include <stddef.h>

/* The ":cow" or ":cow=BRANCH" of HOST:cow[=BRANCH]; NULL: it is no such text. */
const char *cis_cli_mcp_cow(const char *spec);

/* The token of the file, or of a new one; without a path a new one. */
cis_code cis_cli_mcp_token(const char *path, struct cis_buf *out, struct cis_error *err);

#endif
