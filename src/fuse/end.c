/* Taking a mount down while its workers still serve: what mappings have changed is in the kernel's
 * memory only, and it is written to nobody when nobody answers any more. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/process.h"
#include "fuse/internal.h"

#define UMOUNT_NS (60 * CIS_NS_PER_S)

cis_code cis_fuse_unmount(const char *dir, struct cis_error *err)
{
    if (umount2(dir, UMOUNT_NOFOLLOW) == 0) {
        return CIS_OK;
    }
    if (errno != EPERM) {
        return cis_fail_sys(err, errno == EBUSY ? CIS_E_CONFLICT : CIS_E_IO, errno, "%s", dir);
    }
    const char *const argv[] = {"fusermount3", "-u", "--", dir, NULL};
    const char *const envp[] = {"PATH=/usr/local/bin:/usr/bin:/bin", NULL};
    struct cis_process_options o = {
        .argv = argv, .envp = envp, .setuid = true, .output_max = 4096, .errors_max = 4096};
    struct cis_process_result result = {.exit_code = 0};
    o.stop.deadline_ns = cis_clock_after(cis_clock_mono_ns(), UMOUNT_NS);
    CIS_TRY(cis_process_run(&o, &result, err));
    cis_code code = CIS_OK;
    if (result.exit_code != 0) {
        struct cis_str why = cis_str_trim(cis_buf_view(&result.errors));
        code = cis_fail(err, CIS_E_IO, "%s: " CIS_STR_FMT, dir, CIS_STR_ARG(why));
    }
    cis_process_result_done(&result);
    return code;
}

/* The kernel's number of what is mounted at dir, without asking whoever serves it; 0: unknown. */
static uint64_t mount_id(const char *dir)
{
    struct statx st;
    return statx(AT_FDCWD, dir, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_MNT_ID, &st) == 0 &&
                   (st.stx_mask & STATX_MNT_ID) != 0
               ? st.stx_mnt_id
               : 0;
}

void cis_fuse_note_place(struct cis_fuse *f)
{
    f->mount_id = mount_id(f->dir);
}

static bool is_connected(const struct cis_fuse *f)
{
    struct pollfd p = {.fd = fuse_session_fd(f->session)};
    return poll(&p, 1, 0) >= 0 && (p.revents & POLLERR) == 0;
}

/* Is nothing on its way? Every worker waits, and the kernel has nothing for them: what it queues
 * behind a limit of its own comes when an answer to something before it is given. */
static bool is_quiet(struct cis_fuse *f)
{
    struct pollfd p = {.fd = fuse_session_fd(f->session), .events = POLLIN};
    cis_mutex_lock(&f->lock, fuse_lock_mount);
    unsigned workers = f->nworkers;
    cis_mutex_unlock(&f->lock, fuse_lock_mount);
    return atomic_load(&f->idle) >= workers && poll(&p, 1, 0) == 0;
}

/* Nobody waits for this any more: what is left waits for something that does not come. */
static bool is_over(struct cis_fuse *f)
{
    cis_mutex_lock(&f->lock, fuse_lock_mount);
    bool over = f->ending;
    cis_mutex_unlock(&f->lock, fuse_lock_mount);
    return over;
}

/* Somebody has files open there: the mount stays until they close them, and the server goes. What
 * they have changed so far arrives. syncfs(2) begins to write it and, of a filesystem in user
 * space, does not wait for the end. */
static void sync_pages(struct cis_fuse *f)
{
    const unsigned enough = 4; /* a worker may just have taken a request and not said so */
    uint64_t until = cis_clock_after(cis_clock_mono_ns(), FUSE_DOWN_NS);
    int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    (void)syncfs(fd);
    for (unsigned quiet = 0; quiet < enough && cis_clock_mono_ns() < until && !is_over(f);) {
        (void)poll(NULL, 0, 5);
        quiet = is_quiet(f) ? quiet + 1 : 0;
    }
    close(fd);
}

static void *take_down(void *arg)
{
    struct cis_fuse *f = arg;
    atomic_store(&f->ender, (int)syscall(SYS_gettid));
    /* Another mount may be on top of it, which is not ours to take. */
    if (f->mount_id != 0 && mount_id(f->dir) == f->mount_id &&
        cis_fuse_unmount(f->dir, NULL) != CIS_OK) {
        sync_pages(f);
    }
    atomic_store(&f->down, true);
    cis_fuse_wake(f);
    return NULL;
}

bool cis_fuse_take_down(struct cis_fuse *f)
{
    if (!is_connected(f)) {
        return false;
    }
    f->ending_thread = pthread_create(&f->end_thread, NULL, take_down, f) == 0;
    return f->ending_thread;
}
