/* Extended attributes of a file of the host. Nobody here shows them: they are kept when a file
 * takes the place of another. */
#include "vfs/hostdir/internal.h"

#include <sys/xattr.h>
#include "base/mem.h"

#define LIST_MAX 65536u /* XATTR_LIST_MAX and XATTR_SIZE_MAX of the kernel */
#define ACCESS "system.posix_acl_access"
#define ACCESS_BELOW "system.posix_acl_default" /* of a folder */

#define CAPABILITY                                                                                 \
    "security.capability" /* of one content: the kernel takes it from what is written */

static bool is_copied(const char *name)
{
    return strncmp(name, "user.", 5) == 0 || strcmp(name, ACCESS) == 0 ||
           strcmp(name, ACCESS_BELOW) == 0;
}

/* The names, one behind the other; 0: none, or the filesystem knows no such thing. */
static size_t names_of(int fd, char *list)
{
    ssize_t n = flistxattr(fd, list, LIST_MAX - 1);
    list[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

void cis_hostdir_extra(cis_vfs_file *file, bool replaced, char out[256])
{
    CIS_CLEANUP(cis_freep) char *list = cis_alloc(LIST_MAX);
    size_t n = list != NULL ? names_of(host_file_of(file)->fd, list) : 0;
    out[0] = '\0';
    for (size_t at = 0; at < n && out[0] == '\0'; at += strlen(list + at) + 1) {
        const char *name = list + at;
        bool extra = strcmp(name, CAPABILITY) == 0 || (!replaced && is_copied(name));
        if (extra && strlen(name) < 256) {
            memcpy(out, name, strlen(name) + 1);
        }
    }
}

int cis_hostdir_extras_copy(cis_vfs_file *from, cis_vfs_file *to)
{
    CIS_CLEANUP(cis_freep) char *list = cis_alloc(LIST_MAX);
    CIS_CLEANUP(cis_freep) char *value = cis_alloc(LIST_MAX);
    if (list == NULL || value == NULL) {
        return ENOMEM;
    }
    int a = host_file_of(from)->fd, b = host_file_of(to)->fd;
    size_t n = names_of(a, list);
    for (size_t at = 0; at < n; at += strlen(list + at) + 1) {
        const char *name = list + at;
        if (!is_copied(name)) {
            continue;
        }
        ssize_t len = fgetxattr(a, name, value, LIST_MAX);
        if (len < 0 && errno == ENODATA) {
            continue; /* it went meanwhile */
        }
        if (len < 0 || fsetxattr(b, name, value, (size_t)len, 0) != 0) {
            return errno;
        }
    }
    return 0;
}
