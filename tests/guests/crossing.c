/* Tries to carry a file from one of its mounts into another: crossing PATH=rw|ro … Every mount
 * holds a file "f", whose text nobody may change and which nobody else may get hold of. Each pair
 * of mounts, both ways: link, rename, rename onto, link of a link, link of a symlink, and then to
 * open what should not be there. Says what went wrong; ends with 0 when nothing did. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct mount {
    char path[200];
    int rw;
};

static int faults;

static void fault(const char *what, const char *from, const char *to)
{
    printf("%s: %s -> %s: %s\n", what, from, to, strerror(errno));
    faults++;
}

/* It went well (which it must not), or was refused for another reason than it should have been. */
static void refused(int rc, const char *what, const char *from, const char *to, int rw)
{
    if (rc == 0) {
        errno = 0;
    }
    if (rc == 0 || errno != (rw ? EXDEV : EROFS)) {
        fault(what, from, to);
    }
}

static void name(char out[256], const struct mount *m, const char *file)
{
    snprintf(out, 256, "%s/%s", strcmp(m->path, "/") == 0 ? "" : m->path, file);
}

static void steal(const char *to)
{
    int fd = open(to, O_RDWR);
    if (fd >= 0) {
        errno = 0;
        fault("open through", to, to);
        (void)!write(fd, "stolen", 6);
        close(fd);
    } else if (errno != ENOENT) {
        fault("open through", to, to);
    }
}

static void cross(const struct mount *x, const struct mount *y)
{
    char from[256], to[256], onto[256], second[256], soft[256];
    name(from, x, "f");
    name(to, y, "carried");
    name(onto, y, "f");
    refused(link(from, to), "link", from, to, y->rw);
    steal(to);
    if (rename(from, to) == 0 || errno != EXDEV) {
        fault("rename", from, to);
    }
    if (rename(from, onto) == 0 || errno != EXDEV) {
        fault("rename onto", from, onto);
    }
    steal(to);
    if (!x->rw) {
        return;
    }
    name(second, x, "second");
    name(soft, x, "soft");
    if (link(from, second) != 0 || symlink("f", soft) != 0) {
        fault("link within", from, second);
    }
    refused(link(second, to), "link of a link", second, to, y->rw);
    refused(linkat(AT_FDCWD, soft, AT_FDCWD, to, AT_SYMLINK_FOLLOW), "link of a symlink", soft, to,
            y->rw);
    steal(to);
    if (unlink(second) != 0 || unlink(soft) != 0) {
        fault("unlink", second, soft);
    }
}

static void alone(const struct mount *m)
{
    char from[256], to[256];
    name(from, m, "f");
    name(to, m, "own");
    if (m->rw) {
        if (link(from, to) != 0 || rename(to, from) != 0 || unlink(to) != 0) {
            fault("within", from, to);
        }
        return;
    }
    if (link(from, to) == 0 || errno != EROFS) {
        fault("link in what is read-only", from, to);
    }
    if (rename(from, to) == 0 || errno != EROFS) {
        fault("rename in what is read-only", from, to);
    }
    if (open(from, O_RDWR) >= 0 || errno != EROFS) {
        fault("open what is read-only", from, from);
    }
}

int main(int argc, char **argv)
{
    static struct mount mounts[64];
    int n = 0;
    for (int i = 1; i < argc && n < 64; i++) {
        const char *eq = strrchr(argv[i], '=');
        memcpy(mounts[n].path, argv[i], (size_t)(eq - argv[i]));
        mounts[n++].rw = strcmp(eq, "=rw") == 0;
    }
    for (int x = 0; x < n; x++) {
        alone(&mounts[x]);
        for (int y = 0; y < n; y++) {
            if (x != y) {
                cross(&mounts[x], &mounts[y]);
            }
        }
    }
    printf("%d mounts, %d faults\n", n, faults);
    return faults == 0 ? 0 : 1;
}
