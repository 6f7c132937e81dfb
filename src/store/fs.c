/* What holds for names and times of the filesystem, whichever backend keeps it. */
#include "store/fs.h"

bool cis_fs_ref_valid(struct cis_str name)
{
    if (name.len == 0 || name.len > CIS_FS_REF_MAX || name.ptr[name.len - 1] == '/') {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool plain =
            (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        bool inner = i != 0 && (c == '.' || c == '@' || c == '/' || c == '-');
        if ((!plain && !inner) || (c == '.' && name.ptr[i - 1] == '.')) {
            return false;
        }
    }
    return true;
}

bool cis_fs_name_valid(struct cis_str name)
{
    if (name.len == 0 || name.len > CIS_FS_NAME_MAX || cis_str_is(name, ".") ||
        cis_str_is(name, "..")) {
        return false;
    }
    return memchr(name.ptr, '/', name.len) == NULL && memchr(name.ptr, 0, name.len) == NULL;
}

int cis_fs_time_cmp(struct cis_fs_time a, struct cis_fs_time b)
{
    if (a.s != b.s) {
        return a.s < b.s ? -1 : 1;
    }
    return a.ns < b.ns ? -1 : a.ns > b.ns;
}
