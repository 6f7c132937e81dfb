/* What commands about MCP share. */
#ifndef CIS_CLI_MCP_PLACE_H
#define CIS_CLI_MCP_PLACE_H

#include <stddef.h>

/* The ":cow" or ":cow=BRANCH" of HOST:cow[=BRANCH]; NULL: it is no such text. */
const char *cis_cli_mcp_cow(const char *spec);

#endif
