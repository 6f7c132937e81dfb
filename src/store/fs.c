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

/* How many bytes of the name are a prefix that cis keeps for itself; 0: none. */
static size_t reserved(struct cis_str name, bool *out_conflict)
{
    *out_conflict = cis_str_starts(name, CIS_STR(CIS_CONFLICT_PREFIX));
    bool applied = cis_str_starts(name, CIS_STR(CIS_APPLIED_PREFIX));
    return *out_conflict ? sizeof CIS_CONFLICT_PREFIX - 1
           : applied     ? sizeof CIS_APPLIED_PREFIX - 1
                         : 0;
}

bool cis_fs_ref_is_made(struct cis_str name)
{
    const size_t id = CIS_ID_CHARS;
    bool conflict;
    size_t at = reserved(name, &conflict);
    struct cis_str rest = {name.ptr + at, name.len - at};
    if (at == 0 || rest.len < id || !cis_run_id_valid((struct cis_str){rest.ptr, id})) {
        return false;
    }
    for (size_t i = id + 1; i < rest.len; i++) {
        if (rest.ptr[i] < '0' || rest.ptr[i] > '9') {
            return false;
        }
    }
    return rest.len == id ? conflict : rest.len > id + 1 && rest.ptr[id] == '-';
}

cis_code cis_fs_ref_check(struct cis_str name, struct cis_error *err)
{
    return cis_fs_ref_valid(name)
               ? CIS_OK
               : cis_fail(err, CIS_E_INVALID, "\"" CIS_STR_FMT "\": not a valid name for a branch",
                          (int)(name.len > CIS_FS_REF_MAX ? CIS_FS_REF_MAX : name.len),
                          name.ptr != NULL ? name.ptr : "");
}

cis_code cis_fs_ref_check_free(struct cis_str name, struct cis_error *err)
{
    bool conflict;
    return reserved(name, &conflict) != 0
               ? cis_fail(err, CIS_E_USAGE,
                          CIS_STR_FMT ": names that begin with " CIS_CONFLICT_PREFIX
                                      " and " CIS_APPLIED_PREFIX
                                      " are made by cis, and gc removes them: take another name",
                          CIS_STR_ARG(name))
               : CIS_OK;
}

cis_code cis_fs_lineage_check(uint64_t ancestors, bool moves, struct cis_error *err)
{
    uint64_t most = CIS_FS_LINEAGE_MAX + (moves ? 0 : CIS_FS_LINEAGE_FORKS);
    return ancestors <= most
               ? CIS_OK
               : cis_fail(err, CIS_E_LIMIT,
                          "the branch would descend from more than %llu branches, each made of the "
                          "one before: roll back to an old state first, then take this one from "
                          "the reflog (cis fs restore --from NAME@{1} /)",
                          (unsigned long long)most);
}

cis_code cis_fs_ref_check_writer(struct cis_str ref, struct cis_str kind, struct cis_error *err)
{
    return cis_str_starts(ref, CIS_STR(CIS_APPLIED_PREFIX)) && !cis_str_is(kind, CIS_APPLY_KIND)
               ? cis_fail(err, CIS_E_DENIED,
                          "branch " CIS_STR_FMT " is the record of an apply, which nothing else "
                          "writes to; `cis fs fork` makes a branch of its files",
                          CIS_STR_ARG(ref))
               : CIS_OK;
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

/* '@' begins no ref's name, and a space is in none. */
static void reflog_name(struct cis_str ref, char end, struct cis_fs_reflog_name *out)
{
    size_t n = ref.len < CIS_FS_REF_MAX ? ref.len : CIS_FS_REF_MAX;
    out->text[0] = '@';
    memcpy(out->text + 1, ref.ptr, n);
    out->text[n + 1] = end;
    out->name = (struct cis_str){out->text, n + 2};
}

void cis_fs_reflog_make(struct cis_str ref, struct cis_fs_reflog_name *out)
{
    char id[CIS_ID_CHARS + 1];
    cis_id_new(id);
    reflog_name(ref, ' ', out);
    memcpy(out->text + out->name.len, id, sizeof id);
    out->name.len += sizeof id - 1;
}

bool cis_fs_reflog_valid(struct cis_str name)
{
    const size_t id = CIS_ID_CHARS;
    if (name.len < 1 + 1 + 1 + id || name.ptr[0] != '@' || name.ptr[name.len - id - 1] != ' ') {
        return false;
    }
    return cis_run_id_valid((struct cis_str){name.ptr + name.len - id, id}) &&
           cis_fs_ref_valid((struct cis_str){name.ptr + 1, name.len - 1 - 1 - id});
}

void cis_fs_reflog_range(struct cis_str ref, struct cis_fs_reflog_name *out_from,
                         struct cis_fs_reflog_name *out_to)
{
    if (ref.len != 0) {
        reflog_name(ref, ' ', out_from);
        reflog_name(ref, ' ' + 1, out_to);
        return;
    }
    out_from->text[0] = '@';
    out_to->text[0] = '@' + 1;
    out_from->name = (struct cis_str){out_from->text, 1};
    out_to->name = (struct cis_str){out_to->text, 1};
}

void cis_fs_reflog_ref(struct cis_str name, struct cis_fs_reflog *entry)
{
    size_t n = 0;
    while (n + 1 < name.len && n < CIS_FS_REF_MAX && name.ptr[n + 1] != ' ') {
        entry->ref[n] = name.ptr[n + 1];
        n++;
    }
    entry->ref[n] = 0;
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
