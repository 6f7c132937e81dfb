/* What holds for names and times of the filesystem, whichever backend keeps it. */
#include "store/fs.h"

#include "store/store.h"

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

void cis_fs_tenant_split(struct cis_str tenant, struct cis_str *out_name,
                         struct cis_str *out_instance)
{
    *out_instance = tenant;
    if (!cis_str_split(out_instance, '#', out_name)) {
        *out_instance = (struct cis_str){NULL, 0};
    }
}

cis_code cis_fs_publish_refuse(struct cis_str tenant, struct cis_str ref, struct cis_str reader,
                               bool was, struct cis_error *err)
{
    struct cis_str name, instance;
    cis_fs_tenant_split(tenant, &name, &instance);
    return was ? cis_fail(err, CIS_E_DENIED,
                          "tenant " CIS_STR_FMT ": branch " CIS_STR_FMT
                          " is no longer published to " CIS_STR_FMT,
                          CIS_STR_ARG(name), CIS_STR_ARG(ref), CIS_STR_ARG(reader))
               : cis_fail(err, CIS_E_NOTFOUND,
                          "tenant " CIS_STR_FMT ": no branch " CIS_STR_FMT
                          " is published to " CIS_STR_FMT,
                          CIS_STR_ARG(name), CIS_STR_ARG(ref), CIS_STR_ARG(reader));
}
