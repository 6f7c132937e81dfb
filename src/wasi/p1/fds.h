/* The descriptors of a WASI 0.1 guest: a table of what each number names, made from struct
 * cis_wasi_env: standard streams at 0 to 2, preopened directories from 3 on, then listening
 * sockets.
 *
 * Owned by the run's host state (struct cis_host.wasi): made by cis_wasi_p1_start or at the guest's
 * first call that needs it, closed by cis_wasi_p1_end. One thread.
 *
 * Limits. The table grows in steps, charged to the run's budget together with what an open file
 * costs the host; it holds at most wasi_env.files_max entries. A new descriptor gets the lowest
 * free number. A stream that the world says is closed keeps its number, so that nobody's first file
 * becomes a standard stream; one that the guest closes gives it up.
 *
 * Directories. Each is a root of its own, also one that was opened beneath another: ".." above it
 * is EPERM, as is every absolute path. */
#ifndef CIS_WASI_P1_FDS_H
#define CIS_WASI_P1_FDS_H

#include "host/host.h"
#include "vfs/walk.h"
#include "wasi/p1/abi.h"

enum cis_wasi_kind {
    CIS_WASI_FREE,
    CIS_WASI_CLOSED, /* a standard stream that never was: as if it were free, but not given away */
    CIS_WASI_STREAM, /* one of wasi_env.std */
    CIS_WASI_DIR,
    CIS_WASI_FILE,
    CIS_WASI_LISTENER,
    CIS_WASI_SOCKET,
};

struct cis_wasi_fd {
    uint8_t kind;                /* enum cis_wasi_kind */
    uint8_t stream;              /* STREAM: index in wasi_env.std */
    uint16_t flags;              /* CIS_WASI_FDFLAG_*, as the guest set them */
    bool readable, writable;     /* FILE: as it was opened */
    bool borrowed;               /* LISTENER, SOCKET: not ours to close */
    uint8_t manner;              /* LISTENER, SOCKET: as in struct cis_host_stream */
    int sock;                    /* LISTENER, SOCKET: a descriptor of the host */
    uint64_t rights, inheriting; /* what is told: as asked for when it was opened */
    /* What fd_fdstat_set_rights took away, of this descriptor and of those opened beneath it: the
     * only rights that are enforced. Otherwise mounts and how a file was opened decide. */
    uint64_t dropped, inherited;
    uint32_t charged; /* of the run's budget, beside CIS_WASI_FD_BYTES */
    uint32_t ns;      /* DIR, FILE: which of the run's namespaces, for device numbers */
    uint8_t type;     /* FILE: CIS_WASI_FILETYPE_* */
    /* Side by side, not one over the other: what a kind does not have is 0. */
    cis_dir *dir;                           /* DIR: owned unless preopen is set */
    const struct cis_wasi_env_dir *preopen; /* NULL: opened by path_open */
    cis_vfs_file *listing;                  /* made by the first fd_readdir; owned */
    cis_vfs_file *file;                     /* FILE: owned */
    uint64_t offset;
};

struct cis_wasi {
    struct cis_host *host;
    struct cis_wasi_fd *fds;
    uint64_t *used;    /* a bit for each of cap numbers */
    uint32_t cap, max; /* cap: a multiple of 64 */
    uint32_t low;      /* no number below is free */
    uint64_t charged;  /* of the run's budget, for the table */
};

/* What one open descriptor is taken to cost the host beside its place in the table: the objects of
 * its filesystem, a descriptor of the host's. */
#define CIS_WASI_FD_BYTES 512u

/* The guest's table; made by the first call that asks. CIS_E_NOMEM, CIS_E_BUDGET. */
cis_code cis_wasi_make(struct cis_host *host, struct cis_error *err);
static inline cis_code cis_wasi_of(cis_engine_instance *instance, struct cis_wasi **out,
                                   struct cis_error *err)
{
    struct cis_host *host = cis_host_of(instance);
    if (host->wasi == NULL) {
        CIS_TRY(cis_wasi_make(host, err));
    }
    *out = host->wasi;
    return CIS_OK;
}

/* NULL: no such descriptor (EBADF). Valid until the next cis_wasi_add or cis_wasi_close. */
static inline struct cis_wasi_fd *cis_wasi_at(const struct cis_wasi *w, uint32_t fd)
{
    return fd < w->cap && w->fds[fd].kind > CIS_WASI_CLOSED ? &w->fds[fd] : NULL;
}

/* False: the guest gave this right away (ENOTCAPABLE). */
static inline bool cis_wasi_may(const struct cis_wasi_fd *f, uint64_t right)
{
    return (f->dropped & right) == 0;
}

/* Both at once, as most handlers need it: *out NULL is EBADF. */
static inline cis_code cis_wasi_fd(cis_engine_instance *instance, uint32_t fd,
                                   struct cis_wasi_fd **out, struct cis_error *err)
{
    struct cis_wasi *w;
    CIS_TRY(cis_wasi_of(instance, &w, err));
    *out = cis_wasi_at(w, fd);
    return CIS_OK;
}

/* Gives an entry the lowest free number and takes over what it owns; on an error nothing was taken
 * over. EMFILE: files_max of them are open; ENFILE: the run's budget is used up; ENOMEM. */
int cis_wasi_add(struct cis_wasi *w, const struct cis_wasi_fd *entry, uint32_t *out_fd);
/* Is there a number left? */
bool cis_wasi_room(const struct cis_wasi *w);
/* EBADF. */
int cis_wasi_close(struct cis_wasi *w, uint32_t fd);
/* Closes `to` and moves `from` there; both must be open: EBADF. */
int cis_wasi_renumber(struct cis_wasi *w, uint32_t from, uint32_t to);

#endif
