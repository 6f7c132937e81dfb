/* The branch that is served, and the runs that were made on it. */
#include "mcp/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "store/calls.h"

/* Told before anything is served: a client shows what a server says that does not start, and nobody
 * reads what each call says. */
static cis_code folder_take(struct cis_mcp *m, struct cis_error *err)
{
    char real[PATH_MAX];
    int fd = open(m->o.folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return cis_fail_sys(err, CIS_E_NOTFOUND, errno, "--dir %s", m->o.folder);
    }
    close(fd);
    if (realpath(m->o.folder, real) == NULL) {
        return cis_fail_sys(err, CIS_E_NOTFOUND, errno, "--dir %s", m->o.folder);
    }
    m->folder = cis_strdup(real);
    m->o.folder = m->folder;
    return m->folder != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "out of memory");
}

/* By its name from now on: what "current" means may change while we serve. */
cis_code cis_mcp_branch_take(struct cis_mcp *m, struct cis_error *err)
{
    cis_store *store = cis_fs_cache_store(m->o.fs_cache);
    struct cis_stop stop = {CIS_NEVER, m->o.cancel};
    struct cis_str tenant = cis_str_of(m->o.tenant);
    struct cis_fs_ref ref;
    if (m->o.folder != NULL) {
        char id[CIS_ID_CHARS + 1];
        cis_id_new(id);
        snprintf(m->branch, sizeof m->branch, m->o.branch != NULL ? "%s" : "mcp-%s",
                 m->o.branch != NULL ? m->o.branch : id);
        return folder_take(m, err);
    }
    struct cis_str name = cis_str_of(m->o.branch != NULL ? m->o.branch : "");
    cis_code code = cis_store_ref_get(store, tenant, name, &ref, &stop, err);
    if (code == CIS_E_NOTFOUND && (name.len == 0 || cis_str_is(name, CIS_FS_MAIN))) {
        code = cis_store_tenant_create(store, tenant, getuid(), getgid(), &stop, err);
        if (code == CIS_OK || code == CIS_E_EXISTS) {
            code = cis_store_ref_get(store, tenant, name, &ref, &stop, err);
        }
    }
    CIS_TRY(code);
    snprintf(m->branch, sizeof m->branch, "%s", ref.name);
    return CIS_OK;
}

static bool has_room(struct cis_mcp *m) CIS_REQUIRES(mcp_lock)
{
    if (m->nruns < m->runs_cap || m->runs_at != 0) {
        return m->nruns < m->runs_cap;
    }
    size_t cap = cis_cap_next(m->runs_cap, 64, CIS_MEM_MAX);
    cap = cap < CIS_MCP_RUNS_MAX ? cap : CIS_MCP_RUNS_MAX;
    struct mcp_run *more = cap > m->runs_cap ? cis_realloc_array(m->runs, cap, sizeof *more) : NULL;
    if (more != NULL) {
        m->runs = more;
        m->runs_cap = cap;
    }
    return more != NULL;
}

/* The n-th newest of them. */
static struct mcp_run *nth(struct cis_mcp *m, size_t n) CIS_REQUIRES(mcp_lock)
{
    return &m->runs[(m->runs_at + m->nruns - 1 - n) % m->runs_cap];
}

/* Without room the oldest is forgotten: it stays in the store and is the user's to undo. */
void cis_mcp_run_add(struct cis_mcp *m, const struct mcp_run *run) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    if (has_room(m)) {
        m->nruns++;
        *nth(m, 0) = *run;
    } else if (m->nruns != 0) {
        m->runs[m->runs_at] = *run;
        m->runs_at = (m->runs_at + 1) % m->runs_cap;
    }
    cis_mutex_unlock(&m->lock, mcp_lock);
}

static struct mcp_run *find(struct cis_mcp *m, struct cis_str id) CIS_REQUIRES(mcp_lock)
{
    for (size_t i = 0; i < m->nruns; i++) {
        struct mcp_run *run = nth(m, i);
        if (cis_str_is(id, run->id)) {
            return run;
        }
    }
    return NULL;
}

cis_code cis_mcp_run_find(struct cis_mcp *m, struct cis_str id, struct mcp_run *out,
                          struct cis_error *err) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    const struct mcp_run *run = find(m, id);
    if (run != NULL) {
        *out = *run;
    }
    cis_mutex_unlock(&m->lock, mcp_lock);
    return run != NULL ? CIS_OK
                       : cis_fail(err, CIS_E_NOTFOUND,
                                  "run %.40s: not a run of this server (runs_list shows them); the "
                                  "user sees all runs with cis runs list",
                                  id.ptr != NULL ? id.ptr : "");
}

void cis_mcp_run_turned(struct cis_mcp *m, const struct mcp_run *now) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    struct mcp_run *run = find(m, cis_str_of(now->id));
    if (run != NULL) {
        *run = *now;
    }
    cis_mutex_unlock(&m->lock, mcp_lock);
}

bool cis_mcp_run_nth(struct cis_mcp *m, size_t n, struct mcp_run *out) CIS_TAKES(mcp_lock)
{
    cis_mutex_lock(&m->lock, mcp_lock);
    bool there = n < m->nruns;
    if (there) {
        *out = *nth(m, n);
    }
    cis_mutex_unlock(&m->lock, mcp_lock);
    return there;
}
