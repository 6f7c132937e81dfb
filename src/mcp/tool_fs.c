/* The tools that read and write files. */
#include "mcp/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include "base/mem.h"
#include "history/text.h"

#define LIST_MAX 10000u

/* A line about the call, for the log: the tool and the path, without what steers a terminal. */
static void note(struct mcp_tree *t, struct cis_str path)
{
    struct cis_error line;
    cis_fail(&line, CIS_OK, "%s %s", t->tool, path.ptr); /* takes control characters out */
    size_t n = cis_utf8_floor(line.msg, strlen(line.msg), sizeof t->what - 1);
    memcpy(t->what, line.msg, n);
    t->what[n] = 0;
}

/* ---- fs_read ---- */

static cis_code not_text(struct cis_str path, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf uri = CIS_BUF_INIT(4 * CIS_VFS_PATH_MAX);
    cis_mcp_resource_escape(path, &uri);
    bool all = uri.failed == CIS_OK && uri.len <= 60;
    return cis_fail(err, CIS_E_INVALID,
                    "%.100s: is not text; read its bytes as the resource cis:///files%s", path.ptr,
                    all ? cis_buf_cstr(&uri) : " and its path, % as %25");
}

cis_code cis_mcp_fs_read(struct mcp_call *call, const struct mcp_tool *tool,
                         const json_t *arguments, struct mcp_result *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_mcp_tree_close) struct mcp_tree t = {0};
    struct cis_str path = cis_mcp_field(arguments, "path");
    CIS_TRY(cis_mcp_path_check(path, err));
    CIS_TRY(cis_mcp_tree_open(call, tool->name, false, &t, err));
    CIS_TRY(cis_mcp_tree_read(&t, path, MCP_TEXT_MAX, &out->text, err));
    return cis_text_is(cis_buf_bytes(&out->text)) ? CIS_OK : not_text(path, err);
}

/* ---- fs_write, fs_edit ---- */

/* Where the names of folders in the path end. */
static size_t find_folders(struct cis_str path, uint16_t ends[CIS_VFS_PATH_MAX / 2])
{
    size_t n = 0;
    for (size_t i = 1; i < path.len && n < CIS_VFS_PATH_MAX / 2; i++) {
        if (path.ptr[i] == '/' && path.ptr[i - 1] != '/') {
            ends[n++] = (uint16_t)i;
        }
    }
    return n;
}

/* How many of them are there: what is below a folder that is not, is not. */
static size_t count_there(struct mcp_tree *t, struct cis_str path, const uint16_t *ends, size_t n)
{
    size_t there = 0;
    for (size_t missing = n; there < missing;) {
        size_t middle = there + (missing - there) / 2;
        struct cis_vfs_attr attr;
        if (cis_at_stat(t->root, &t->vfs, (struct cis_str){path.ptr, ends[middle]}, CIS_WALK_CHROOT,
                        &attr) == 0) {
            there = middle + 1;
        } else {
            missing = middle;
        }
    }
    return there;
}

/* Each in the one before: a walk from the root to each of them would take the square of it. */
static int make_parents(struct mcp_tree *t, struct cis_str path)
{
    const struct cis_vfs_make folder = {.mode = S_IFDIR | 0777};
    uint16_t ends[CIS_VFS_PATH_MAX / 2];
    size_t n = find_folders(path, ends), i = count_there(t, path, ends, n);
    size_t at = i != 0 ? ends[i - 1] : 1;
    cis_dir *in = NULL;
    int rc =
        i < n ? cis_at_dir(t->root, &t->vfs, (struct cis_str){path.ptr, at}, CIS_WALK_CHROOT, &in)
              : 0;
    for (; rc == 0 && i < n; at = ends[i++]) {
        while (path.ptr[at] == '/') {
            at++;
        }
        struct cis_str name = {path.ptr + at, ends[i] - at};
        cis_dir *next = NULL;
        rc = cis_at_make(in, &t->vfs, name, CIS_WALK_CHROOT, &folder);
        rc = rc == EEXIST ? 0 : rc;
        rc = rc != 0 ? rc : cis_at_dir(in, &t->vfs, name, CIS_WALK_CHROOT, &next);
        if (rc == 0) {
            cis_mcp_tree_changed(t, 'A', (struct cis_str){path.ptr, ends[i]}, 0);
        }
        cis_dir_free(in);
        in = next;
    }
    cis_dir_free(in);
    return rc;
}

static int write_all(struct mcp_tree *t, cis_vfs_file *file, struct cis_str text)
{
    for (size_t at = 0; at < text.len;) {
        size_t piece = text.len - at < (1u << 20) ? text.len - at : 1u << 20;
        struct iovec v = {(char *)(uintptr_t)text.ptr + at, piece};
        size_t n = 0;
        uint64_t end;
        int rc = cis_vfs_write(file, &t->vfs, &v, 1, at, &n, &end);
        rc = rc == 0 && n == 0 ? EDQUOT : rc;
        rc = rc == 0 && cis_stop_check(&t->call->stop, "write", &t->why) != CIS_OK ? EINTR : rc;
        if (rc != 0) {
            return rc;
        }
        at += n;
    }
    return 0;
}

cis_code cis_mcp_tree_put(struct mcp_tree *t, struct cis_str path, struct cis_str text,
                          struct cis_error *err)
{
    struct cis_vfs_attr attr;
    cis_vfs_file *file = NULL;
    bool there = cis_at_stat(t->root, &t->vfs, path, CIS_WALK_CHROOT, &attr) == 0;
    if (there && !S_ISREG(attr.mode)) {
        return cis_mcp_tree_fail(t, S_ISDIR(attr.mode) ? EISDIR : EINVAL, path, err);
    }
    int rc = there ? 0 : make_parents(t, path);
    if (rc == 0) {
        rc =
            cis_at_open(t->root, &t->vfs, path,
                        &(struct cis_open_how){CIS_WALK_CHROOT, O_WRONLY | O_CREAT | O_TRUNC, 0666},
                        &file, &attr);
    }
    rc = rc == 0 ? write_all(t, file, text) : rc;
    cis_vfs_file_close(file);
    if (rc != 0) {
        return cis_mcp_tree_fail(t, rc, path, err);
    }
    cis_mcp_tree_changed(t, there ? 'M' : 'A', path, text.len);
    return CIS_OK;
}

cis_code cis_mcp_fs_write(struct mcp_call *call, const struct mcp_tool *tool,
                          const json_t *arguments, struct mcp_result *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_mcp_tree_close) struct mcp_tree t = {0};
    struct cis_str path = cis_mcp_field(arguments, "path");
    struct cis_str text = cis_mcp_field(arguments, "content");
    CIS_TRY(cis_mcp_path_check(path, err));
    CIS_TRY(cis_mcp_tree_open(call, tool->name, true, &t, err));
    note(&t, path);
    CIS_TRY(cis_mcp_tree_end(&t, cis_mcp_tree_put(&t, path, text, err), out, err));
    cis_buf_printf(&out->text, "wrote %zu bytes to %s (run %s)", text.len, path.ptr, t.id);
    return CIS_OK;
}

/* The one place of `old`; *out_n: how many there are, told up to 2. */
static size_t find_once(const struct cis_buf *text, struct cis_str old, size_t *out_n)
{
    const uint8_t *first = text->len != 0 ? memmem(text->ptr, text->len, old.ptr, old.len) : NULL;
    *out_n = first != NULL;
    if (first == NULL) {
        return 0;
    }
    size_t at = (size_t)(first - text->ptr), rest = text->len - at - 1;
    *out_n += memmem(first + 1, rest, old.ptr, old.len) != NULL;
    return at;
}

static cis_code edit(struct mcp_tree *t, const json_t *arguments, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf was = CIS_BUF_INIT(MCP_TEXT_MAX + 65536);
    CIS_CLEANUP(cis_buf_done) struct cis_buf now = CIS_BUF_INIT(2 * CIS_MCP_LINE_MAX);
    struct cis_str path = cis_mcp_field(arguments, "path");
    struct cis_str old = cis_mcp_field(arguments, "old");
    size_t n = 0;
    CIS_TRY(cis_mcp_tree_read(t, path, MCP_TEXT_MAX, &was, err));
    if (!cis_text_is(cis_buf_bytes(&was))) {
        return cis_fail(err, CIS_E_INVALID, "%.160s: is not text", path.ptr);
    }
    size_t at = find_once(&was, old, &n);
    if (n != 1) {
        return cis_fail(err, CIS_E_FAILED, "%.120s: %s; nothing was changed", path.ptr,
                        n == 0 ? "does not contain the text given as \"old\""
                               : "contains the text given as \"old\" more than once: include more "
                                 "of the text around it");
    }
    cis_buf_add(&now, was.ptr, at);
    cis_buf_str(&now, cis_mcp_field(arguments, "new"));
    cis_buf_add(&now, was.ptr + at + old.len, was.len - at - old.len);
    CIS_TRY(cis_buf_check(&now, path.ptr, err));
    return cis_mcp_tree_put(t, path, cis_buf_view(&now), err);
}

cis_code cis_mcp_fs_edit(struct mcp_call *call, const struct mcp_tool *tool,
                         const json_t *arguments, struct mcp_result *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_mcp_tree_close) struct mcp_tree t = {0};
    struct cis_str path = cis_mcp_field(arguments, "path");
    CIS_TRY(cis_mcp_path_check(path, err));
    CIS_TRY(cis_mcp_tree_open(call, tool->name, true, &t, err));
    note(&t, path);
    CIS_TRY(cis_mcp_tree_end(&t, edit(&t, arguments, err), out, err));
    cis_buf_printf(&out->text, "edited %s (run %s)", path.ptr, t.id);
    return CIS_OK;
}

/* ---- fs_list ---- */

struct listing {
    struct mcp_result *out;
    json_t *entries;
    size_t n;
    bool cut;
};

static bool take_entry(void *self, const struct cis_vfs_entry *e, const struct cis_vfs_attr *attr)
{
    struct listing *l = self;
    const char *type = S_ISDIR(e->type)   ? "folder"
                       : S_ISREG(e->type) ? "file"
                       : S_ISLNK(e->type) ? "link"
                                          : "other";
    if (cis_str_is(e->name, ".") || cis_str_is(e->name, "..") ||
        cis_str_is(e->name, CIS_CONTROL_NAME)) {
        return true;
    }
    l->cut = l->n == LIST_MAX;
    if (l->cut) {
        return false;
    }
    l->n++;
    json_int_t size = attr != NULL && S_ISREG(e->type) ? (json_int_t)attr->size : 0;
    json_t *entry =
        json_pack("{s:o,s:s,s:I}", "name", cis_mcp_text(e->name), "type", type, "size", size);
    const char *name = json_string_value(json_object_get(entry, "name"));
    cis_buf_printf(&l->out->text, "%s%s\n", name != NULL ? name : "?", S_ISDIR(e->type) ? "/" : "");
    json_array_append_new(l->entries, entry);
    return true;
}

cis_code cis_mcp_fs_list(struct mcp_call *call, const struct mcp_tool *tool,
                         const json_t *arguments, struct mcp_result *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_mcp_tree_close) struct mcp_tree t = {0};
    struct cis_str path = cis_mcp_field(arguments, "path");
    struct listing l = {.out = out, .entries = json_array()};
    cis_vfs_file *file = NULL;
    cis_code code = cis_mcp_path_check(path, err);
    code = code == CIS_OK ? cis_mcp_tree_open(call, tool->name, false, &t, err) : code;
    if (code == CIS_OK) {
        struct cis_vfs_attr attr;
        int rc = cis_at_open(t.root, &t.vfs, path,
                             &(struct cis_open_how){CIS_WALK_CHROOT, O_RDONLY | O_DIRECTORY, 0},
                             &file, &attr);
        rc = rc == 0 ? cis_vfs_readdir(file, &t.vfs, 0, true, take_entry, &l) : rc;
        cis_vfs_file_close(file);
        code = rc == 0 ? CIS_OK : cis_mcp_tree_fail(&t, rc, path, err);
    }
    out->structured = json_pack("{s:o,s:b}", "entries", l.entries, "truncated", l.cut ? 1 : 0);
    if (l.cut) {
        cis_buf_printf(&out->text, "(only %u are listed)\n", LIST_MAX);
    }
    return code;
}
