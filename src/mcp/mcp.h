/* A server of the Model Context Protocol over two descriptors, or over HTTP: what a client's model
 * may do with one branch, or with one folder that is mounted as cow, and with the tools of
 * installed skills.
 *
 * Owned here: the framing (one JSON value a line), the eras of the protocol (2026-07-28, where each
 * request says which it is; 2025-11-25 and 2025-06-18, which begin with initialize), the table of
 * tools, resources, cancellation and progress. A call that changes something is one run: one commit
 * with its record, or nothing but the record.
 *
 * What the model can reach: the served tree (never ".tarbox", never what a union keeps for itself),
 * the runs of this server, and methods that skills declare as tools, with the grants that the user
 * gave them. Nothing that a client can send grants anything, and nothing that a skill says changes
 * another tool.
 *
 * Bounds: a line is at most CIS_MCP_LINE_MAX bytes and nested CIS_MCP_DEPTH_MAX deep, of at most
 * CIS_MCP_VALUES_MAX values; CIS_MCP_QUEUE_MAX requests wait at a time, then nothing is read;
 * answers that nobody reads are held up to CIS_MCP_OUT_MAX bytes, then calls wait.
 *
 * Threads: cis_mcp_serve makes its own and ends them. Everything named in the options is borrowed
 * until it returns. */
#ifndef CIS_MCP_MCP_H
#define CIS_MCP_MCP_H

#include "run/run.h"
#include "skill/registry.h"

#define CIS_MCP_LINE_MAX ((size_t)16 << 20)
#define CIS_MCP_DEPTH_MAX 64u
#define CIS_MCP_VALUES_MAX 200000u
#define CIS_MCP_QUEUE_MAX 64u
#define CIS_MCP_HTTP_QUEUE_MAX 1024u /* those of HTTP are refused beyond it, not waited for */
#define CIS_MCP_OUT_MAX ((size_t)4 << 20)
#define CIS_MCP_WORKERS 4u
#define CIS_MCP_RUNS_MAX 10000u /* of this server that can be named: the newest */

/* What runs of skills need, asked for when some skill has a tool, before the first line is read,
 * and again when skills change; by one thread at a time. What was given stays good. */
struct cis_mcp_base {
    cis_engine *engine;
    struct cis_services services;
    uint32_t features; /* of modules: CIS_FEATURE_* */
    uint32_t wasi;
};

/* HTTP in place of the two descriptors: many clients, one principal. A peer may call when its Host
 * is the address it connected to (or `host`), its Origin, if it has one, too, and it knows the
 * token. */
struct cis_mcp_http {
    const char *address; /* PORT, HOST:PORT, [HOST]:PORT */
    const char *token;   /* NULL: whoever reaches the address may call */
    const char *host;    /* a name besides that Host may have, with its port; NULL: none */
    /* It listens there: nothing has been read yet. */
    void (*ready)(void *self, const char *address, bool loopback);
    void *self;
};

struct cis_mcp_options {
    int in, out;                     /* borrowed, never made non-blocking */
    const struct cis_mcp_http *http; /* NULL: in and out */
    cis_cancel *cancel; /* ends the server: running calls are cancelled, what waits is dropped */
    const char *version;
    uint8_t state_key[32]; /* seals what a client keeps between a question and its answer */
    bool ask_grants;       /* what a skill asks for and was not granted: the person is asked */
    cis_fs_cache *fs_cache;
    const char *tenant;
    const char *branch; /* NULL: the current one, as it is now; cow: NULL: a new one */
    const char *folder; /* of the host, mounted as cow; NULL: the branch alone */
    const char *tools;  /* "all" or names with commas; NULL: all */
    const char *shell;  /* file of the interpreter of the tool shell; NULL: there is no such tool */
    uint64_t history_bytes;
    uint64_t host_bytes; /* that one call may make the host hold */
    uint64_t time_ns;    /* of one call */
    /* Of skills. */
    struct cis_skill_home home;          /* its stop is for the start alone */
    struct cis_skill_limits most, usual; /* limits: of any run, and what a run gets by itself */
    uint64_t ai_calls_max, ai_tokens_max;
    uint32_t handles_max;
    const char *dns_servers;
    bool no_clock, no_random, no_wasi; /* unless it was granted */
    cis_code (*wasi_env)(void *self, bool network, struct cis_mcp_base *out, struct cis_error *err);
    /* A line for whoever started the server: a tool that is left out. */
    void (*say)(void *self, const char *line);
    void *self;
};

/* Serves until the input ends or `cancel` fires; by then each call is committed or nothing of it
 * is. CIS_E_USAGE, CIS_E_NOTFOUND and others before anything is read; CIS_E_IO when the output is
 * gone. */
cis_code cis_mcp_serve(const struct cis_mcp_options *options, struct cis_error *err);

#endif
