/* `cis memory get|set|delete|list|search`: one skill's memory, or the whole tenant's. */
#include "cli/memory/memory_names.h"

#include <inttypes.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "config/config.h"
#include "service/memory/memory.h"
#include "store/calls.h"

static int needs_skill(struct cis_cli *cli, cis_memory_verb *verb)
{
    return cis_cli_has(cli, "skill")
               ? cis_memory_run(cli, verb)
               : cis_cli_usage(cli,
                               "--skill NAME is missing: it names the skill whose memory is meant");
}

/* JSON of an entry: its value may be escaped to six times its length. */
#define ENTRY_JSON_MAX (7u * CIS_STORE_VALUE_MAX)

/* ---- get ---- */

static bool print_value(void *self, const struct cis_kv_entry *entry)
{
    const struct cis_cli *cli = self;
    if (cli->json) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(ENTRY_JSON_MAX);
        cis_json_write(&out, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("schema", 1u)));
        cis_memory_entry_json(&out, entry);
        cis_buf_text(&out, "}\n");
        cis_cli_out(out.ptr, out.len);
        return false;
    }
    cis_cli_foreign(entry->value.ptr, entry->value.len);
    bool line = entry->value.len != 0 && entry->value.ptr[entry->value.len - 1] == '\n';
    if (isatty(STDOUT_FILENO) && !line) {
        cis_cli_out("\n", 1);
    }
    return false;
}

static cis_code get_verb(struct cis_memory_cmd *cmd, struct cis_error *err)
{
    struct cis_str ns;
    struct cis_cli cli = *cmd->cli;
    return cis_memory_cmd_find(cmd, cis_str_of(cmd->cli->args[0]), print_value, &cli, &ns, err);
}

static int run_get(struct cis_cli *cli)
{
    return needs_skill(cli, get_verb);
}

static const struct cis_cli_option key_options[] = {{"skill", 0, "NAME", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_memory_get = {
    .name = "memory get", .options = key_options, .min_args = 1, .max_args = 1, .run = run_get};

/* ---- set, delete ---- */

static cis_code apply(struct cis_memory_cmd *cmd, const struct cis_kv_op *op, struct cis_error *err)
{
    const struct cis_config *config = cis_app_config(cmd->app);
    struct cis_store_commit commit = {.kv = op,
                                      .nkv = 1,
                                      .quota_bytes = config->memory_quota_bytes,
                                      .quota_keys = config->memory_quota_keys};
    return cis_store_commit(cmd->store, cmd->tenant, &commit, &cmd->stop, err);
}

static cis_code set_verb(struct cis_memory_cmd *cmd, struct cis_error *err)
{
    const struct cis_cli *cli = cmd->cli;
    CIS_CLEANUP(cis_buf_done) struct cis_buf value = CIS_BUF_INIT(CIS_STORE_VALUE_MAX);
    struct cis_kv_op op = {.key = cis_str_of(cli->args[0]), .is_public = -1};
    CIS_TRY(cis_memory_cmd_ns(cmd, &op.ns, err));
    CIS_TRY(cis_cli_input(cli->args[1], &value, err));
    op.value = cis_buf_bytes(&value);
    if (cis_cli_has(cli, "public") || cis_cli_has(cli, "private")) {
        op.is_public = cis_cli_has(cli, "public") ? 1 : 0;
    }
    op.category = cis_str_of(cis_cli_value(cli, "category"));
    CIS_TRY(apply(cmd, &op, err));
    if (cli->json) {
        cis_cli_object(CIS_JSON(CIS_J_BOOL("set", true)));
    }
    return CIS_OK;
}

static int run_set(struct cis_cli *cli)
{
    if (cis_cli_has(cli, "public") && cis_cli_has(cli, "private")) {
        return cis_cli_usage(cli, "--public and --private cannot be used together");
    }
    return needs_skill(cli, set_verb);
}

static const struct cis_cli_option set_options[] = {{"skill", 0, "NAME", false, NULL},
                                                    {"public", 0, NULL, false, NULL},
                                                    {"private", 0, NULL, false, NULL},
                                                    {"category", 0, "C", false, NULL},
                                                    {0}};

const struct cis_cli_command cis_cmd_memory_set = {
    .name = "memory set", .options = set_options, .min_args = 2, .max_args = 2, .run = run_set};

static bool ignore_entry(void *self, const struct cis_kv_entry *entry)
{
    (void)self;
    (void)entry;
    return false;
}

static cis_code delete_verb(struct cis_memory_cmd *cmd, struct cis_error *err)
{
    struct cis_kv_op op = {.key = cis_str_of(cmd->cli->args[0]), .remove = true};
    CIS_TRY(cis_memory_cmd_find(cmd, op.key, ignore_entry, NULL, &op.ns, err));
    CIS_TRY(apply(cmd, &op, err));
    if (cmd->cli->json) {
        cis_cli_object(CIS_JSON(CIS_J_BOOL("deleted", true)));
    }
    return CIS_OK;
}

static int run_delete(struct cis_cli *cli)
{
    return needs_skill(cli, delete_verb);
}

const struct cis_cli_command cis_cmd_memory_delete = {.name = "memory delete",
                                                      .options = key_options,
                                                      .min_args = 1,
                                                      .max_args = 1,
                                                      .run = run_delete};

/* ---- list, search ---- */

struct listing {
    bool json, names, values;
    uint64_t n;
    struct cis_buf line;
};

/* At most `max` bytes of untrusted text on one line. */
static void add_shown(struct cis_buf *out, struct cis_str text, size_t max)
{
    size_t from = out->len;
    cis_cli_printable_line(out,
                           (struct cis_str){text.ptr, cis_utf8_floor(text.ptr, text.len, max)});
    for (size_t i = from; i < out->len; i++) {
        if (out->ptr[i] == '\n' || out->ptr[i] == '\t') {
            out->ptr[i] = ' ';
        }
    }
    if (text.len > max) {
        cis_buf_text(out, "…");
    }
}

static bool print_entry(void *self, const struct cis_kv_entry *entry)
{
    struct listing *l = self;
    struct cis_buf *line = &l->line;
    cis_buf_reset(line);
    if (l->json) {
        cis_buf_byte(line, '{');
        cis_memory_entry_json(line, entry);
        cis_buf_byte(line, '}');
    } else {
        if (l->names) {
            add_shown(line, entry->ns, CIS_STORE_NAME_MAX);
            cis_buf_byte(line, '\t');
        }
        add_shown(line, entry->key, CIS_STORE_KEY_MAX);
        if (l->values) {
            cis_buf_byte(line, '\t');
            add_shown(line, (struct cis_str){(const char *)entry->value.ptr, entry->value.len}, 80);
        } else {
            char when[32];
            cis_clock_iso(entry->updated_ms, when);
            cis_buf_printf(line, "\t%zu\t%s%s", entry->value.len, when,
                           entry->is_public ? "\tpublic" : "");
        }
        cis_buf_byte(line, '\n');
    }
    cis_cli_out(line->ptr, line->len);
    l->n++;
    return true;
}

static void listing_done(struct listing *l)
{
    cis_buf_done(&l->line);
}

static bool limit_option(const struct cis_cli *cli, uint64_t *limit)
{
    return cis_cli_number(cli, "limit", limit) && *limit <= UINT32_MAX;
}

/* Namespaces that --skill means, to be listed one after the other. */
struct spaces {
    struct cis_buf text; /* each with a NUL */
    size_t n;
};

static bool add_space(void *self, struct cis_str ns)
{
    struct spaces *s = self;
    cis_buf_str(&s->text, ns);
    cis_buf_byte(&s->text, 0);
    s->n++;
    return s->text.failed == CIS_OK;
}

static cis_code list_one(struct cis_memory_cmd *cmd, struct cis_kv_query *query, struct listing *l,
                         struct cis_error *err)
{
    uint64_t before = l->n;
    CIS_TRY(cis_store_kv_list(cmd->store, cmd->tenant, query, print_entry, l, &cmd->stop, err));
    query->limit -= query->limit != 0 ? (uint32_t)(l->n - before) : 0;
    return CIS_OK;
}

static cis_code list_verb(struct cis_memory_cmd *cmd, struct cis_error *err)
{
    const struct cis_cli *cli = cmd->cli;
    uint64_t limit = 0;
    CIS_CLEANUP(listing_done)
    struct listing l = {.json = cli->json, .line = CIS_BUF_INIT(ENTRY_JSON_MAX)};
    struct cis_kv_query query = {.prefix = cis_str_of(cis_cli_value(cli, "prefix")),
                                 .after = cis_str_of(cis_cli_value(cli, "after"))};
    if (!limit_option(cli, &limit)) {
        return cis_fail(err, CIS_E_USAGE, "--limit: not a number of entries");
    }
    query.limit = (uint32_t)limit;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(16u << 20);
    struct spaces spaces = {.text = text};
    if (cmd->given != NULL) {
        cis_code code = cis_memory_cmd_each(cmd, add_space, &spaces, err);
        text = spaces.text; /* to be freed */
        CIS_TRY(code);
        CIS_TRY(cis_buf_check(&text, "names of files", err));
    }
    l.names = cmd->given == NULL || spaces.n > 1;
    cis_cli_list(cli, "entries");
    if (cmd->given == NULL) {
        CIS_TRY(list_one(cmd, &query, &l, err));
    }
    const char *ns = (const char *)text.ptr;
    for (size_t i = 0; i < spaces.n && (limit == 0 || l.n < limit); i++, ns += strlen(ns) + 1) {
        query.ns = cis_str_of(ns);
        CIS_TRY(list_one(cmd, &query, &l, err));
    }
    cis_cli_list_end(NULL);
    return CIS_OK;
}

static int run_list(struct cis_cli *cli)
{
    if (!cis_cli_has(cli, "skill") && (cis_cli_has(cli, "prefix") || cis_cli_has(cli, "after"))) {
        return cis_cli_usage(cli, "--prefix and --after need --skill NAME");
    }
    return cis_memory_run(cli, list_verb);
}

static const struct cis_cli_option list_options[] = {{"skill", 0, "NAME", false, NULL},
                                                     {"prefix", 0, "P", false, NULL},
                                                     {"after", 0, "KEY", false, NULL},
                                                     {"limit", 0, "N", false, NULL},
                                                     {0}};

const struct cis_cli_command cis_cmd_memory_list = {
    .name = "memory list", .options = list_options, .run = run_list};

static cis_code search_verb(struct cis_memory_cmd *cmd, struct cis_error *err)
{
    const struct cis_cli *cli = cmd->cli;
    uint64_t limit = 10;
    CIS_CLEANUP(listing_done)
    struct listing l = {
        .json = cli->json, .names = true, .values = true, .line = CIS_BUF_INIT(ENTRY_JSON_MAX)};
    if (!limit_option(cli, &limit)) {
        return cis_fail(err, CIS_E_USAGE, "--limit: not a number of entries");
    }
    struct cis_str ns;
    CIS_TRY(cis_memory_cmd_ns(cmd, &ns, err));
    cis_cli_list(cli, "entries");
    CIS_TRY(cis_store_kv_search(cmd->store, cmd->tenant,
                                &(struct cis_kv_search_query){.ns = ns,
                                                              .query = cis_str_of(cli->args[0]),
                                                              .limit = (uint32_t)limit},
                                print_entry, &l, &cmd->stop, err));
    cis_cli_list_end(NULL);
    return CIS_OK;
}

static const struct cis_cli_option search_options[] = {
    {"skill", 0, "NAME", false, NULL}, {"limit", 0, "N", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_memory_search = {.name = "memory search",
                                                      .options = search_options,
                                                      .min_args = 1,
                                                      .max_args = 1,
                                                      .memory = search_verb};
