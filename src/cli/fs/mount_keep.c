/* What keeps a mount: commits every few seconds, a lease that is renewed, and what becomes of both
 * when they fail. */
#include "cli/fs/mount_in.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/statvfs.h>
#include "base/clock.h"
#include "store/calls.h"

#define FLUSH_NS (3 * CIS_NS_PER_S) /* at least every 5 s, the work itself included */
#define RENEW_NS (8 * CIS_NS_PER_S)
#define SCARCE                                                                                     \
    (64ull << 20) /* bytes free on the store's disk below which closing a file commits             \
                   */
#define CALL_NS (20 * CIS_NS_PER_S) /* of one call of the store by the keeper */

struct cis_stop cis_mount_call_stop(void)
{
    return (struct cis_stop){cis_clock_after(cis_clock_mono_ns(), CALL_NS), NULL};
}

static void tell(struct mount *m, enum cis_control_topic topic, const char *what,
                 const struct cis_error *err)
{
    char text[CIS_ERROR_MSG_MAX + 64];
    snprintf(text, sizeof text, "%s: %s", what, err->msg);
    cis_control_note(m->vfs, topic, text);
    fprintf(stderr, "cis: mount %s: %s\n", m->o->dir, text);
}

/* Another mount may lose its lease in the same second, and names are cut to fit. */
#define NAMES_MAX 8

static cis_code save(struct mount *m, char name[CIS_FS_REF_MAX + 1], char left[CIS_ERROR_MSG_MAX],
                     struct cis_error *err)
{
    int64_t now = cis_clock_wall_ms() / 1000;
    struct cis_stop stop = cis_mount_call_stop();
    cis_code code = CIS_E_EXISTS;
    for (int i = 1; code == CIS_E_EXISTS && i <= NAMES_MAX; i++) {
        int n = snprintf(name, CIS_FS_REF_MAX + 1, "%.80s@lost-%" PRId64, m->ref, now);
        if (i > 1) {
            snprintf(name + n, CIS_FS_REF_MAX + 1 - (size_t)n, "-%d", i);
        }
        struct cis_str fork = cis_str_of(name);
        *err = (struct cis_error){0};
        code = cis_layered_commit_rest(cis_control_head(m->vfs), &fork, left, &stop, err);
    }
    return code;
}

void cis_mount_save(struct mount *m)
{
    char name[CIS_FS_REF_MAX + 1], left[CIS_ERROR_MSG_MAX];
    struct cis_error err = {0};
    m->unsaved = cis_layered_dirty(cis_control_head(m->vfs));
    if (!m->unsaved) {
        tell(m, CIS_CONTROL_LEASE, "read-only from now on, everything was committed", &m->why);
        return;
    }
    if (save(m, name, left, &err) != CIS_OK) {
        tell(m, CIS_CONTROL_LEASE,
             "read-only from now on, and what was not committed is not saved yet", &err);
        return;
    }
    m->unsaved = false;
    if (left[0] != 0) {
        struct cis_error gone = {0};
        snprintf(gone.msg, sizeof gone.msg, "%s", left);
        tell(m, CIS_CONTROL_COMMIT, "not saved, because its content is lost", &gone);
    }
    snprintf(err.msg, sizeof err.msg, "what was not committed is branch %.105s (%.80s)", name,
             m->why.msg);
    tell(m, CIS_CONTROL_LEASE, "read-only from now on", &err);
}

void cis_mount_lease_lost(struct mount *m, const struct cis_error *why)
{
    m->why = *why;
    atomic_store(&m->lost, true);
    cis_control_seal(m->vfs);
    cis_mount_save(m);
}

/* A machine that slept finds its lease run out, and usually nobody took it meanwhile: it is ours
 * again if nothing was committed since, which the kernel would not know. */
static bool regain(struct mount *m)
{
    struct cis_stop stop = cis_mount_call_stop();
    struct cis_fs_ref ref;
    struct cis_view mine = cis_layered_view(cis_control_head(m->vfs));
    uint64_t fence = 0;
    return cis_store_lease(m->store, m->tenant,
                           &(struct cis_fs_lease_request){.ref = cis_str_of(m->ref),
                                                          .holder = m->holder,
                                                          .fence = m->fence,
                                                          .ttl_ms = CIS_MOUNT_LEASE_MS},
                           &fence, &stop, NULL) == CIS_OK &&
           cis_store_ref_get(m->store, m->tenant, cis_str_of(m->ref), &ref, &stop, NULL) ==
               CIS_OK &&
           ref.head.branch == mine.branch && ref.head.epoch == mine.epoch;
}

static cis_code flush_once(struct mount *m, struct cis_error *err)
{
    struct cis_stop stop = cis_mount_call_stop();
    struct cis_vfs_call call = {.stop = &stop, .err = err};
    int rc = cis_vfs_flush(m->vfs, &call);
    rc = rc == EROFS ? 0 : rc; /* sealed: told when it was */
    if (atomic_exchange(&m->trouble, rc) != 0 && rc == 0) {
        cis_control_well(m->vfs, CIS_CONTROL_COMMIT);
    }
    if (rc == 0) {
        return CIS_OK;
    }
    return err->code != CIS_OK ? err->code : cis_fail_sys(err, CIS_E_IO, rc, "flush");
}

void cis_mount_flush(struct mount *m)
{
    struct cis_error err = {0};
    cis_code code = flush_once(m, &err);
    if (code == CIS_E_CONFLICT && regain(m)) {
        err = (struct cis_error){0};
        code = flush_once(m, &err);
    }
    if (code == CIS_OK) {
        return;
    }
    if (err.code == CIS_E_CONFLICT || err.code == CIS_E_EXPIRED) {
        cis_mount_lease_lost(m, &err);
    } else {
        tell(m, CIS_CONTROL_COMMIT, "not committed yet", &err); /* tried again */
    }
}

/* ---- what the threads that serve tell ---- */

static bool disk_is_scarce(const struct mount *m)
{
    struct statvfs st;
    return m->store->folder != NULL && statvfs(m->store->folder, &st) == 0 &&
           (uint64_t)st.f_bavail * st.f_frsize < SCARCE;
}

/* What is written waits for the keeper's commit. When that is known to fail, or likely to, it is
 * tried before close(2) is answered, so that the answer is the truth. */
int cis_mount_on_closed(void *self, const struct cis_vfs_call *call)
{
    struct mount *m = self;
    int known = atomic_load(&m->trouble);
    bool doubt = atomic_exchange(&m->doubt, false);
    if (m->fence == 0 || atomic_load(&m->lost) || (known == 0 && !doubt && !disk_is_scarce(m))) {
        return 0;
    }
    int rc = cis_vfs_flush(m->vfs, call);
    if (rc == EINTR) {
        return known; /* it is tried again without whoever waited */
    }
    rc = rc == EROFS ? 0 : rc;
    if (atomic_exchange(&m->trouble, rc) != 0 && rc == 0) {
        cis_control_well(m->vfs, CIS_CONTROL_COMMIT);
    }
    return rc;
}

void cis_mount_on_failed(void *self, int rc, const char *why)
{
    struct mount *m = self;
    char text[CIS_ERROR_MSG_MAX + 64];
    atomic_store(&m->doubt, true);
    snprintf(text, sizeof text, "%s: %s", strerrorname_np(rc), why);
    cis_control_note(m->vfs, CIS_CONTROL_REQUEST, text);
}

static void renew(struct mount *m)
{
    struct cis_stop stop = cis_mount_call_stop();
    struct cis_error err = {0};
    uint64_t fence = 0;
    cis_code code = cis_store_lease(m->store, m->tenant,
                                    &(struct cis_fs_lease_request){.ref = cis_str_of(m->ref),
                                                                   .holder = m->holder,
                                                                   .fence = m->fence,
                                                                   .ttl_ms = CIS_MOUNT_LEASE_MS},
                                    &fence, &stop, &err);
    if (code == CIS_E_CONFLICT || code == CIS_E_NOTFOUND || code == CIS_E_EXPIRED) {
        cis_mount_lease_lost(m, &err);
    } else if (code != CIS_OK) {
        tell(m, CIS_CONTROL_LEASE, "the lease could not be renewed yet", &err);
    }
}

void *cis_mount_keep(void *self)
{
    struct mount *m = self;
    uint64_t flushed = cis_clock_mono_ns(), renewed = flushed;
    struct pollfd wake = {.fd = m->wake_fd, .events = POLLIN};
    while (!atomic_load(&m->lost) || m->unsaved) {
        int n = poll(&wake, 1, 500);
        if (n > 0 || (n < 0 && errno != EINTR)) {
            break;
        }
        uint64_t now = cis_clock_mono_ns();
        if (now - flushed >= FLUSH_NS) {
            struct cis_stop stop = cis_mount_call_stop();
            struct cis_error why;
            if (atomic_load(&m->lost)) {
                cis_mount_save(m);
            } else {
                cis_mount_flush(m);
                (void)!cis_layered_quota(cis_control_head(m->vfs), &stop, &why);
            }
            flushed = cis_clock_mono_ns();
        }
        if (now - renewed >= RENEW_NS && !atomic_load(&m->lost)) {
            renew(m);
            renewed = now;
        }
    }
    return NULL;
}

/* What is published no more is not shown any longer: also the kernel has to forget it. */
void *cis_mount_keep_guest(void *self)
{
    struct mount *m = self;
    struct pollfd wake = {.fd = m->wake_fd, .events = POLLIN};
    for (;;) {
        int n = poll(&wake, 1, (int)(RENEW_NS / CIS_NS_PER_MS));
        if (n > 0 || (n < 0 && errno != EINTR)) {
            return NULL;
        }
        struct cis_stop stop = cis_mount_call_stop();
        struct cis_error err = {0};
        cis_code code = cis_layered_renew(cis_control_head(m->vfs), &stop, &err);
        if (code == CIS_E_DENIED || code == CIS_E_NOTFOUND || code == CIS_E_EXPIRED) {
            m->ended = err;
            cis_fuse_stop(m->fuse);
            return NULL;
        }
    }
}
