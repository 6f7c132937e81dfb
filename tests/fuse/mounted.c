/* See mounted.h. */
#include "mounted.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "harness.h"
#include "fuse/fuse.h"

bool mounted_possible(void)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC); /* makes nothing where it is not */
    if (fd < 0) {
        printf("no mount is possible here: /dev/fuse: %s\n", strerror(errno));
        return false;
    }
    close(fd);
    return true;
}

static cis_fuse *serving; /* for the child's signal handler */

static void on_term(int number)
{
    (void)number;
    cis_fuse_stop(serving);
}

static int serve(const char *dir, cis_vfs *vfs, int ready)
{
    struct cis_error err;
    struct cis_fuse_options o = CIS_FUSE_OPTIONS_INIT;
    o.allow_other = geteuid() == 0;
    if (vfs == NULL || cis_fuse_mount(vfs, dir, &o, &serving, &err) != CIS_OK) {
        fprintf(stderr, "mount: %s\n", vfs != NULL ? err.msg : "no filesystem");
        return 2;
    }
    struct sigaction act = {.sa_handler = on_term};
    sigaction(SIGTERM, &act, NULL);
    if (write(ready, "r", 1) != 1) {
        return 3;
    }
    cis_code code = cis_fuse_run(serving, &err);
    cis_fuse_free(serving);
    cis_vfs_close(vfs);
    return code == CIS_OK ? 0 : 4;
}

bool mounted_start(struct mounted *m, cis_vfs *(*open_vfs)(const void *arg), const void *arg)
{
    int ready[2];
    snprintf(m->dir, sizeof m->dir, "/tmp/cis-mount-XXXXXX");
    assert_non_null(mkdtemp(m->dir));
    assert_int_equal(pipe(ready), 0);
    m->server = fork();
    if (m->server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        close(ready[0]);
        _exit(serve(m->dir, open_vfs(arg), ready[1]));
    }
    close(ready[1]);
    char word;
    bool there = read(ready[0], &word, 1) == 1;
    close(ready[0]);
    if (!there) {
        mounted_stop(m);
    }
    return there;
}

int mounted_stop(struct mounted *m)
{
    int status = 0;
    kill(m->server, SIGTERM);
    waitpid(m->server, &status, 0);
    rmdir(m->dir);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
