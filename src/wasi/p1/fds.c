/* The table of descriptors: numbers, growth, what closing an entry gives back. */
#include "wasi/p1/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "base/mem.h"
#include "wasi/p1/internal.h"
#include "wasi/p1/p1.h"

#define FIRST 64u             /* numbers at the start */
#define FILES_MOST (1u << 20) /* Linux's nr_open; whatever the run allows */

static void release(struct cis_wasi *w, struct cis_wasi_fd *f)
{
    switch ((enum cis_wasi_kind)f->kind) {
    case CIS_WASI_DIR:
        cis_vfs_file_close(f->listing);
        if (f->preopen == NULL) {
            cis_dir_free(f->dir);
        }
        break;
    case CIS_WASI_FILE:
        cis_vfs_file_close(f->file);
        break;
    case CIS_WASI_LISTENER:
    case CIS_WASI_SOCKET:
        if (!f->borrowed) {
            close(f->sock);
        }
        break;
    case CIS_WASI_FREE:
    case CIS_WASI_CLOSED:
    case CIS_WASI_STREAM:
        break;
    }
    cis_budget_release(&w->host->budget, CIS_WASI_FD_BYTES + f->charged);
    *f = (struct cis_wasi_fd){.kind = CIS_WASI_FREE};
}

/* Twice as many places. ENFILE, ENOMEM. */
static int grow(struct cis_wasi *w, uint32_t cap)
{
    uint64_t bytes = (uint64_t)cap * sizeof *w->fds + cap / 8;
    if (cis_budget_charge(&w->host->budget, bytes - w->charged, "descriptors", NULL) != CIS_OK) {
        return ENFILE;
    }
    struct cis_wasi_fd *fds = cis_calloc(cap, sizeof *fds);
    uint64_t *used = cis_calloc(cap / 64, sizeof *used);
    if (fds == NULL || used == NULL) {
        cis_free(fds);
        cis_free(used);
        cis_budget_release(&w->host->budget, bytes - w->charged);
        return ENOMEM;
    }
    if (w->cap != 0) {
        memcpy(fds, w->fds, w->cap * sizeof *fds);
        memcpy(used, w->used, w->cap / 8);
    }
    cis_free(w->fds);
    cis_free(w->used);
    w->fds = fds;
    w->used = used;
    w->cap = cap;
    w->charged = bytes;
    return 0;
}

/* The lowest free number, which may be w->cap. */
static uint32_t lowest(const struct cis_wasi *w)
{
    for (uint32_t word = w->low / 64; word < w->cap / 64; word++) {
        uint64_t open = ~w->used[word];
        if (open != 0) {
            return word * 64 + (uint32_t)__builtin_ctzll(open);
        }
    }
    return w->cap;
}

bool cis_wasi_room(const struct cis_wasi *w)
{
    return lowest(w) < w->max;
}

static int place(struct cis_wasi *w, const struct cis_wasi_fd *entry, uint32_t at)
{
    if (at >= w->max) {
        return EMFILE;
    }
    uint64_t bytes = CIS_WASI_FD_BYTES + (uint64_t)entry->charged;
    if (cis_budget_charge(&w->host->budget, bytes, "descriptors", NULL) != CIS_OK) {
        return ENFILE;
    }
    int rc = at < w->cap ? 0 : grow(w, w->cap * 2);
    if (rc != 0) {
        cis_budget_release(&w->host->budget, bytes);
        return rc;
    }
    w->fds[at] = *entry;
    w->used[at / 64] |= 1ull << (at % 64);
    w->low = at + 1;
    return 0;
}

int cis_wasi_add(struct cis_wasi *w, const struct cis_wasi_fd *entry, uint32_t *out_fd)
{
    uint32_t at = lowest(w);
    int rc = place(w, entry, at);
    if (rc == 0) {
        *out_fd = at;
    }
    return rc;
}

int cis_wasi_close(struct cis_wasi *w, uint32_t fd)
{
    struct cis_wasi_fd *f = cis_wasi_at(w, fd);
    if (f == NULL) {
        return EBADF;
    }
    release(w, f);
    w->used[fd / 64] &= ~(1ull << (fd % 64));
    w->low = fd < w->low ? fd : w->low;
    return 0;
}

int cis_wasi_renumber(struct cis_wasi *w, uint32_t from, uint32_t to)
{
    struct cis_wasi_fd *old = cis_wasi_at(w, from), *onto = cis_wasi_at(w, to);
    if (old == NULL || onto == NULL) {
        return EBADF;
    }
    if (from == to) {
        return 0;
    }
    release(w, onto);
    *onto = *old;
    *old = (struct cis_wasi_fd){.kind = CIS_WASI_FREE};
    w->used[from / 64] &= ~(1ull << (from % 64));
    w->low = from < w->low ? from : w->low;
    return 0;
}

static int add_streams(struct cis_wasi *w)
{
    for (uint32_t i = 0; i < 3; i++) {
        const struct cis_host_stream *stream = &w->host->wasi_env.std[i];
        struct cis_wasi_fd f = {.kind = CIS_WASI_STREAM, .stream = (uint8_t)i};
        if (stream->kind == CIS_STREAM_CLOSED) {
            f.kind = CIS_WASI_CLOSED;
        } else {
            int mode = cis_host_stream_mode(w->host, stream);
            f.flags = mode >= 0 && (mode & O_APPEND) != 0 ? CIS_WASI_FDFLAG_APPEND : 0;
            f.rights = cis_wasi_stream_rights(w->host, stream);
        }
        int rc = place(w, &f, i);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* Directories of one namespace have the number of the first of them. */
static uint32_t ns_of(const struct cis_wasi_env *wasi_env, size_t dir)
{
    uint32_t first = 0;
    while (!cis_dir_together(wasi_env->dirs[first].dir, wasi_env->dirs[dir].dir)) {
        first++; /* at the latest itself */
    }
    return first;
}

static int add_wasi_env(struct cis_wasi *w)
{
    const struct cis_wasi_env *wasi_env = &w->host->wasi_env;
    int rc = add_streams(w);
    uint32_t fd;
    for (size_t i = 0; rc == 0 && i < wasi_env->ndirs; i++) {
        struct cis_wasi_fd f = {.kind = CIS_WASI_DIR,
                                .rights = CIS_WASI_RIGHTS_DIR,
                                .inheriting = CIS_WASI_RIGHTS_DIR | CIS_WASI_RIGHTS_FILE,
                                .ns = ns_of(wasi_env, i),
                                .dir = wasi_env->dirs[i].dir,
                                .preopen = &wasi_env->dirs[i]};
        rc = cis_wasi_add(w, &f, &fd);
    }
    for (size_t i = 0; rc == 0 && i < wasi_env->nlisteners; i++) {
        struct cis_wasi_fd f = {.kind = CIS_WASI_LISTENER,
                                .borrowed = true,
                                .sock = wasi_env->listeners[i],
                                .rights = CIS_WASI_RIGHTS_LISTENER,
                                .inheriting = CIS_WASI_RIGHTS_SOCKET};
        rc = cis_wasi_add(w, &f, &fd);
    }
    return rc;
}

cis_code cis_wasi_make(struct cis_host *host, struct cis_error *err)
{
    if (host->wasi != NULL) {
        return CIS_OK;
    }
    struct cis_wasi *w = cis_zalloc(sizeof *w);
    if (w == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "descriptors: out of memory");
    }
    w->host = host;
    w->max = host->wasi_env.files_max != 0 ? host->wasi_env.files_max : CIS_WORLD_FILES_MAX;
    w->max = w->max < FILES_MOST ? w->max : FILES_MOST;
    host->wasi = w;
    int rc = grow(w, FIRST);
    if (rc == 0) {
        rc = add_wasi_env(w);
    }
    uint32_t max = w->max;
    if (rc != 0) {
        cis_wasi_p1_end(host);
    }
    switch (rc) {
    case 0:
        return CIS_OK;
    case EMFILE:
        return cis_fail(err, CIS_E_LIMIT,
                        "descriptors: the program would start with more than %u of them", max);
    case ENFILE:
        return cis_fail(err, CIS_E_BUDGET, "descriptors: host-side budget used up");
    default:
        return cis_fail(err, CIS_E_NOMEM, "descriptors: out of memory");
    }
}

cis_code cis_wasi_p1_start(struct cis_host *host, struct cis_error *err)
{
    return cis_wasi_make(host, err);
}

void cis_wasi_p1_end(struct cis_host *host)
{
    struct cis_wasi *w = host->wasi;
    if (w == NULL) {
        return;
    }
    for (uint32_t i = 0; i < w->cap; i++) {
        if (w->fds[i].kind != CIS_WASI_FREE) {
            release(w, &w->fds[i]);
        }
    }
    cis_budget_release(&host->budget, w->charged);
    cis_free(w->fds);
    cis_free(w->used);
    cis_free(w);
    host->wasi = NULL;
}
