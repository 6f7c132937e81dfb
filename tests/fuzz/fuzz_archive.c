/* Any bytes as an archive: whatever happens, nothing but files and folders within the limits below
 * the folder it is unpacked into, and nothing beside it. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "skill/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static char place[64], archive[128], inside[128];

static void clean_up(void)
{
    (void)!(cis_file_remove_tree(place, NULL) == CIS_OK);
}

static void make_place(void)
{
    snprintf(place, sizeof place, "/tmp/cis-fuzz-XXXXXX");
    require(mkdtemp(place) != NULL);
    snprintf(archive, sizeof archive, "%s/a", place);
    snprintf(inside, sizeof inside, "%s/in", place);
    atexit(clean_up);
}

/* Counts what is below; everything must be a folder or a plain file of its own. */
static size_t look(int dir, uint64_t *bytes)
{
    DIR *list = fdopendir(dir);
    size_t n = 0;
    require(list != NULL);
    for (struct dirent *e; (e = readdir(list)) != NULL;) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        require(fstatat(dirfd(list), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0);
        n++;
        if (S_ISDIR(st.st_mode)) {
            int fd = openat(dirfd(list), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            require(fd >= 0);
            n += look(fd, bytes);
        } else {
            require(S_ISREG(st.st_mode) && st.st_nlink == 1 && (st.st_mode & 07177) == 0);
            *bytes += (uint64_t)st.st_size;
        }
    }
    closedir(list);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (place[0] == 0) {
        make_place();
    }
    int fd = open(archive, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0 && cis_fd_write_all(fd, data, size) == 0);
    close(fd);
    require(mkdir(inside, 0700) == 0);
    int root = open(inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    require(root >= 0);
    struct cis_tree tree = CIS_TREE_INIT(root, "fuzz");
    struct cis_error err = {0};
    tree.bytes_max = 1u << 20;
    tree.entries_max = 100;
    cis_code code = cis_tree_unpack(&tree, archive, &err);
    require(code == CIS_OK || (err.msg[0] != 0 && code != CIS_E_INTERNAL));
    uint64_t bytes = 0;
    require(look(root, &bytes) <= 100 * 64 && bytes <= tree.bytes_max); /* closes root */
    cis_tree_done(&tree);
    require(cis_file_remove_tree(inside, NULL) == CIS_OK);
    uint64_t other = 0;
    fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    require(look(fd, &other) == 1); /* the archive alone */
    return 0;
}
