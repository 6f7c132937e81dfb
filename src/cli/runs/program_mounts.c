/* Mounts as they are written on the command line. */
#include "cli/runs/program.h"

#include <string.h>
#include "base/mem.h"

static cis_code keep(struct cis_program_env *w, struct cis_str text, const char **out,
                     struct cis_error *err)
{
    char **more = cis_realloc_array(w->texts, cis_size_add(w->ntexts, 1), sizeof *more);
    char *copy = cis_strndup(text.ptr != NULL ? text.ptr : "", text.len);
    w->texts = more != NULL ? more : w->texts;
    if (more == NULL || copy == NULL) {
        cis_free(copy);
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    w->texts[w->ntexts++] = copy;
    *out = copy;
    return CIS_OK;
}

static cis_code add(struct cis_program_env *w, struct cis_run_mount **out, struct cis_error *err)
{
    if (w->nmounts == CIS_RUN_MOUNTS_MAX) {
        return cis_fail(err, CIS_E_USAGE, "more than %u mounts", CIS_RUN_MOUNTS_MAX);
    }
    *out = &w->mounts[w->nmounts++];
    return CIS_OK;
}

static bool cut(struct cis_str *text, const char *suffix)
{
    size_t n = strlen(suffix);
    if (text->len <= n || memcmp(text->ptr + text->len - n, suffix, n) != 0) {
        return false;
    }
    text->len -= n;
    return true;
}

/* The start of the last ":cow=" or NULL. */
static const char *find_cow(struct cis_str text)
{
    static const char mark[] = ":cow=";
    for (size_t i = text.len; i-- > 1;) {
        if (text.len - i >= sizeof mark - 1 && memcmp(text.ptr + i, mark, sizeof mark - 1) == 0) {
            return text.ptr + i;
        }
    }
    return NULL;
}

/* How the folder is to be had: what stands behind its path. Anything else is part of the path. */
static cis_code take_modes(struct cis_program_env *w, struct cis_str *text, struct cis_run_mount *m,
                           struct cis_error *err)
{
    const char *cow = find_cow(*text);
    bool mode = false, more = true;
    if (cow != NULL) {
        struct cis_str branch = {cow + 5, text->len - (size_t)(cow + 5 - text->ptr)};
        text->len = (size_t)(cow - text->ptr);
        m->mode = CIS_MOUNT_COW;
        mode = true;
        CIS_TRY(keep(w, branch, &m->branch, err));
        if (!cis_fs_ref_valid(branch)) {
            return cis_fail(err, CIS_E_USAGE, "\"%.100s\" is not a valid name for a branch",
                            m->branch);
        }
    }
    while (more) {
        more = false;
        static const struct {
            const char *suffix;
            enum cis_mount_mode mode;
        } modes[] = {{":ro", CIS_MOUNT_RO}, {":rw", CIS_MOUNT_RW}, {":cow", CIS_MOUNT_COW}};
        for (size_t i = 0; i < sizeof modes / sizeof *modes && !more; i++) {
            more = cut(text, modes[i].suffix);
            if (more && mode) {
                return cis_fail(err, CIS_E_USAGE, "give only one of :ro, :rw and :cow");
            }
            m->mode = more ? modes[i].mode : m->mode;
            mode = mode || more;
        }
        if (!more && cut(text, ":dev")) {
            m->devices = more = true;
        }
    }
    return CIS_OK;
}

static const char *find_double(struct cis_str text)
{
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.ptr[i] == ':' && text.ptr[i + 1] == ':') {
            return text.ptr + i;
        }
    }
    return NULL;
}

static bool has_dots(const char *path)
{
    struct cis_str rest = cis_str_of(path), name;
    for (bool more = true; more;) {
        more = cis_str_split(&rest, '/', &name);
        if (cis_str_is(name, "..")) {
            return true;
        }
    }
    return false;
}

/* Where the program finds it: any path, "." is what it reaches by relative ones. */
static cis_code keep_guest(struct cis_program_env *w, struct cis_str guest_path,
                           struct cis_run_mount *m, struct cis_error *err)
{
    while (cis_str_starts(guest_path, CIS_STR("./")) && guest_path.len > 2) {
        guest_path.ptr += 2;
        guest_path.len -= 2;
    }
    return keep(w, guest_path, &m->guest_path, err);
}

/* What the option was, before what was wrong with it. */
static cis_code told(cis_code code, const char *option, const char *value, struct cis_error *err)
{
    return code == CIS_OK ? CIS_OK : cis_error_prefix(err, code, "--%s %.80s", option, value);
}

static cis_code add_dir(struct cis_program_env *w, const char *spec, struct cis_error *err)
{
    struct cis_run_mount *m = NULL;
    struct cis_str text = cis_str_of(spec), guest_path;
    CIS_TRY(add(w, &m, err));
    CIS_TRY(take_modes(w, &text, m, err));
    const char *at = find_double(text);
    struct cis_str host = at != NULL ? (struct cis_str){text.ptr, (size_t)(at - text.ptr)} : text;
    guest_path = at != NULL     ? (struct cis_str){at + 2, text.len - host.len - 2}
                 : w->own_paths ? CIS_STR(".")
                                : host;
    if (host.len == 0 || guest_path.len == 0) {
        return cis_fail(err, CIS_E_USAGE, "not HOST[::GUEST][:ro|:rw|:cow[=BRANCH]|:dev]");
    }
    CIS_TRY(keep(w, host, &m->host, err));
    CIS_TRY(keep_guest(w, guest_path, m, err));
    if (has_dots(m->guest_path)) {
        return cis_fail(err, CIS_E_USAGE,
                        "give the path in the sandbox, without \"..\": %.60s::/NAME", m->host);
    }
    w->needs_store |= m->mode == CIS_MOUNT_COW;
    return CIS_OK;
}

cis_code cis_program_mount_dir(struct cis_program_env *w, const char *spec, struct cis_error *err)
{
    return told(add_dir(w, spec, err), "dir", spec, err);
}

static cis_code add_workspace(struct cis_program_env *w, const char *spec, struct cis_error *err)
{
    struct cis_run_mount *m = NULL;
    struct cis_str branch = cis_str_of(spec), guest_path;
    CIS_TRY(add(w, &m, err));
    bool named = cis_str_split(&branch, '=', &guest_path);
    if (guest_path.len == 0 || (named && branch.len == 0)) {
        return cis_fail(err, CIS_E_USAGE, "not GUEST[=BRANCH]");
    }
    CIS_TRY(keep_guest(w, guest_path, m, err));
    if (has_dots(m->guest_path)) {
        return cis_fail(err, CIS_E_USAGE, "GUEST must be a path without \"..\"");
    }
    if (named) {
        CIS_TRY(keep(w, branch, &m->branch, err));
    }
    w->needs_store = true;
    return CIS_OK;
}

static cis_code add_published(struct cis_program_env *w, const char *spec, struct cis_error *err)
{
    struct cis_run_mount *m = NULL;
    struct cis_str branch = cis_str_of(spec), guest_path, tenant;
    CIS_TRY(add(w, &m, err));
    bool good = cis_str_split(&branch, '=', &guest_path) && cis_str_split(&branch, '/', &tenant);
    if (!good || guest_path.len == 0 || !cis_tenant_valid(tenant) || !cis_fs_ref_valid(branch)) {
        return cis_fail(err, CIS_E_USAGE, "not GUEST=TENANT/BRANCH");
    }
    CIS_TRY(keep_guest(w, guest_path, m, err));
    if (has_dots(m->guest_path)) {
        return cis_fail(err, CIS_E_USAGE, "GUEST must be a path without \"..\"");
    }
    CIS_TRY(keep(w, tenant, &m->from, err));
    CIS_TRY(keep(w, branch, &m->branch, err));
    m->mode = CIS_MOUNT_RO;
    w->needs_store = true;
    return CIS_OK;
}

cis_code cis_program_mounts(struct cis_program_env *w, const struct cis_cli *cli,
                            struct cis_error *err)
{
    const char *text, *snapshot = cis_cli_value(cli, "snapshot");
    size_t workspaces = 0;
    for (int i = 0; (text = cis_cli_nth(cli, "workspace", i)) != NULL; i++) {
        CIS_TRY(told(add_workspace(w, text, err), "workspace", text, err));
        workspaces++;
    }
    if (snapshot != NULL && workspaces == 0) {
        CIS_TRY(add_workspace(w, "/workspace", err));
        workspaces++;
    }
    bool other = workspaces == 1 && w->mounts[0].branch != NULL && /* not that of -w alone */
                 strcmp(w->mounts[0].branch, CIS_FS_MAIN) != 0;
    if (snapshot != NULL && (workspaces > 1 || other)) {
        return cis_fail(err, CIS_E_USAGE,
                        "--snapshot %.80s: needs one workspace that names no branch; to mount a "
                        "snapshot beside it, use --workspace /OLD=SNAPSHOT",
                        snapshot);
    }
    if (snapshot != NULL) {
        w->mounts[0].branch = snapshot;
        w->mounts[0].mode = CIS_MOUNT_RO;
    }
    for (int i = 0; (text = cis_cli_nth(cli, "published", i)) != NULL; i++) {
        CIS_TRY(told(add_published(w, text, err), "published", text, err));
    }
    for (int i = 0; (text = cis_cli_nth(cli, "dir", i)) != NULL; i++) {
        CIS_TRY(cis_program_mount_dir(w, text, err));
    }
    return CIS_OK;
}

/* A branch is written to; any other state is looked at. */
cis_code cis_linked_resolve(struct cis_program_env *w, const struct cis_history *h,
                            struct cis_error *err)
{
    for (size_t i = 0; i < w->nmounts; i++) {
        struct cis_run_mount *m = &w->mounts[i];
        struct cis_rev *rev = &w->revs[i];
        if (m->host != NULL || m->branch == NULL || m->from != NULL) {
            continue;
        }
        cis_code code = cis_history_resolve(h, cis_str_of(m->branch), rev, err);
        if (code == CIS_E_NOTFOUND && strcmp(m->branch, CIS_FS_MAIN) == 0) {
            continue; /* of a tenant that is made by this run */
        }
        if (code != CIS_OK) {
            return told(code, "workspace", m->guest_path, err);
        }
        if (rev->head && rev->ref[0] != 0) {
            m->branch = rev->ref;
        } else {
            m->at = rev->view;
            m->mode = CIS_MOUNT_RO;
        }
    }
    return CIS_OK;
}
