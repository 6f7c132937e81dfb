#include "cli/memory/memory_names.h"

#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "cli/skill/skill.h"
#include "store/calls.h"

/* NAME, NAME@0 (the first memory of that name), file:STEM, file:/a/path, or the path of a file. */
static cis_code take_name(struct cis_memory_cmd *cmd, struct cis_error *err)
{
    struct cis_str given = cis_str_of(cmd->given);
    if (given.len == 0 || given.len > CIS_STORE_NAME_MAX) {
        return cis_fail(err, CIS_E_USAGE, "--skill: a name has 1 to %u bytes", CIS_STORE_NAME_MAX);
    }
    bool colon = strchr(cmd->given, ':') != NULL;
    if (!colon && strchr(cmd->given, '/') != NULL) {
        cis_file_memory_ns(cmd->given, cmd->own);
    } else if (strncmp(cmd->given, "file:", 5) == 0 && cmd->given[5] != '/' &&
               cmd->given[5] != '@') {
        snprintf(cmd->stem, sizeof cmd->stem, "%s", cmd->given + 5);
    } else if (given.len > 2 && strcmp(cmd->given + given.len - 2, "@0") == 0) {
        snprintf(cmd->own, sizeof cmd->own, "%.*s", (int)given.len - 2, cmd->given);
    } else if (colon || strchr(cmd->given, '@') != NULL) {
        snprintf(cmd->own, sizeof cmd->own, "%s", cmd->given);
    } else {
        CIS_CLEANUP(cis_freep) char *ns = NULL;
        CIS_TRY(cis_skill_memory(cmd->store, cmd->tenant, given, &ns, &cmd->stop, err));
        snprintf(cmd->own, sizeof cmd->own, "%s", ns);
        snprintf(cmd->stem, sizeof cmd->stem, "%s", cmd->given);
    }
    return CIS_OK;
}

static cis_code cmd_open(struct cis_cli *cli, struct cis_memory_cmd *out, struct cis_error *err)
{
    out->cli = cli;
    out->given = cis_cli_value(cli, "skill");
    CIS_TRY(cis_app_open(cli, &out->app, err));
    out->tenant = cis_str_of(cli->tenant);
    CIS_TRY(cis_app_store(out->app, &out->store, err));
    out->stop = cis_app_stop(out->app);
    return out->given != NULL ? take_name(out, err) : CIS_OK;
}

int cis_memory_run(struct cis_cli *cli, cis_memory_verb *verb)
{
    struct cis_error err = {0};
    struct cis_memory_cmd cmd = {0};
    cis_code code = cmd_open(cli, &cmd, &err);
    if (code == CIS_OK) {
        code = verb(&cmd, &err);
    }
    cis_app_close(cmd.app);
    return code == CIS_OK ? 0 : cis_cli_fail(cli, &err);
}

/* ---- files of a stem ---- */

struct looking {
    struct cis_memory_cmd *cmd;
    cis_memory_ns_each *each;
    void *self;
};

static bool look(void *self, const struct cis_kv_entry *entry)
{
    struct looking *l = self;
    return !cis_file_memory_has_stem(entry->ns, cis_str_of(l->cmd->stem)) ||
           l->each(l->self, entry->ns);
}

static cis_code each_file(struct cis_memory_cmd *cmd, cis_memory_ns_each *each, void *self,
                          struct cis_error *err)
{
    struct looking l = {cmd, each, self};
    if (cmd->stem[0] == 0) {
        return CIS_OK;
    }
    struct cis_error why = {0};
    cis_code code =
        cis_store_kv_namespaces(cmd->store, cmd->tenant, CIS_VIEW_HEAD, look, &l, &cmd->stop, &why);
    return code == CIS_OK || code == CIS_E_NOTFOUND ? CIS_OK : cis_fail(err, code, "%s", why.msg);
}

struct files {
    char (*names)[CIS_FILE_NS_MAX];
    size_t n; /* all of them; the first CIS_FILES_SHOWN have a name here */
};

static bool add_file(void *self, struct cis_str ns)
{
    struct files *f = self;
    if (f->n < CIS_FILES_SHOWN) {
        snprintf(f->names[f->n], sizeof f->names[f->n], "%.*s", (int)ns.len, ns.ptr);
    }
    f->n++;
    return true;
}

static void files_done(struct files *f)
{
    cis_free(f->names);
}

/* More than one: all are listed on stderr, and it is a mistake. */
static cis_code the_one(struct cis_memory_cmd *cmd, char *out, struct cis_error *err)
{
    CIS_CLEANUP(files_done)
    struct files f = {.names = cis_calloc(CIS_FILES_SHOWN, CIS_FILE_NS_MAX)};
    if (f.names == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "--skill: out of memory");
    }
    CIS_TRY(each_file(cmd, add_file, &f, err));
    if (f.n > 1) {
        for (size_t i = 0; i < f.n && i < CIS_FILES_SHOWN && !cmd->cli->json; i++) {
            cis_cli_line(stderr, "%s", f.names[i]);
        }
        return cis_fail(
            err, CIS_E_USAGE,
            "--skill %.60s: %zu files of this name have a memory: give a path (--skill %.100s)",
            cmd->given, f.n, f.names[0]);
    }
    snprintf(out, CIS_FILE_NS_MAX, f.n == 1 ? "%s" : "file:%s", f.n == 1 ? f.names[0] : cmd->stem);
    return CIS_OK;
}

/* ---- installed skills ---- */

static bool note_skill(void *self, const struct cis_skill_row *row)
{
    (void)row;
    *(bool *)self = true;
    return false;
}

static bool note_entry(void *self, const struct cis_kv_entry *entry)
{
    (void)entry;
    *(bool *)self = true;
    return false;
}

static cis_code unless_absent(cis_code code, const struct cis_error *why, struct cis_error *err)
{
    return code == CIS_OK || code == CIS_E_NOTFOUND ? CIS_OK : cis_fail(err, code, "%s", why->msg);
}

/* Is there an installed skill of that name, or memory in its namespace? */
static cis_code is_own(struct cis_memory_cmd *cmd, bool *out, struct cis_error *err)
{
    const struct cis_store_ops *ops = cmd->store->ops;
    struct cis_error why = {0};
    *out = cmd->stem[0] == 0;
    if (cmd->own[0] == 0 || *out) {
        return CIS_OK;
    }
    CIS_TRY(unless_absent(ops->skill_get(cmd->store, cmd->tenant, cis_str_of(cmd->given),
                                         note_skill, out, &cmd->stop, &why),
                          &why, err));
    struct cis_kv_query query = {.ns = cis_str_of(cmd->own), .limit = 1};
    return *out ? CIS_OK
                : unless_absent(ops->kv_list(cmd->store, cmd->tenant, &query, note_entry, out,
                                             &cmd->stop, &why),
                                &why, err);
}

/* ---- what commands ask for ---- */

cis_code cis_memory_cmd_ns(struct cis_memory_cmd *cmd, struct cis_str *out, struct cis_error *err)
{
    *out = (struct cis_str){NULL, 0};
    if (cmd->given == NULL) {
        return CIS_OK;
    }
    bool own;
    CIS_TRY(is_own(cmd, &own, err));
    if (!own) {
        CIS_TRY(the_one(cmd, cmd->own, err));
    }
    *out = cis_str_of(cmd->own);
    return CIS_OK;
}

cis_code cis_memory_cmd_each(struct cis_memory_cmd *cmd, cis_memory_ns_each *each, void *self,
                             struct cis_error *err)
{
    bool own;
    CIS_TRY(is_own(cmd, &own, err));
    if (own && !each(self, cis_str_of(cmd->own))) {
        return CIS_OK;
    }
    return own ? CIS_OK : each_file(cmd, each, self, err);
}

cis_code cis_memory_cmd_find(struct cis_memory_cmd *cmd, struct cis_str key, cis_kv_each *each,
                             void *self, struct cis_str *out_ns, struct cis_error *err)
{
    bool found = false;
    if (cmd->own[0] != 0) {
        CIS_TRY(cis_store_kv_get(
            cmd->store, cmd->tenant,
            &(struct cis_kv_get_query){
                .ns = cis_str_of(cmd->own), .key = key, .each = each, .self = self},
            &found, &cmd->stop, err));
    }
    if (!found && cmd->stem[0] != 0) {
        char file[CIS_FILE_NS_MAX];
        CIS_TRY(the_one(cmd, file, err));
        CIS_TRY(
            cis_store_kv_get(cmd->store, cmd->tenant,
                             &(struct cis_kv_get_query){
                                 .ns = cis_str_of(file), .key = key, .each = each, .self = self},
                             &found, &cmd->stop, err));
        if (found) {
            snprintf(cmd->own, sizeof cmd->own, "%s", file);
        }
    }
    *out_ns = cis_str_of(cmd->own);
    return found ? CIS_OK
                 : cis_fail(err, CIS_E_NOTFOUND, "%s: no such key in the memory of %s", key.ptr,
                            cmd->given);
}
