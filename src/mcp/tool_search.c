/* Searching files for a text: no patterns, so that nothing a model sends can take more time than
 * there are bytes. */
#include "mcp/internal.h"

#include <errno.h>
#include <fcntl.h>
#include "base/mem.h"
#include "history/text.h"

#define HITS_MAX 1000u
#define TEXT_MAX ((size_t)256 << 10) /* of all hits */
#define LINE_MAX_SHOWN ((size_t)400)
#define FOLDERS_MAX 100000u
#define PATH_COSTS 32u /* beside its bytes */

struct search {
    struct mcp_tree *tree;
    struct cis_str pattern;
    struct mcp_result *out;
    struct cis_buf file;
    char **folders; /* still to be looked at, charged to the call */
    size_t nfolders, cap, seen;
    uint64_t hits;
    bool cut, full; /* full: out of memory */
    const char *at; /* the folder that is being read */
};

static void search_done(struct search *s)
{
    for (size_t i = 0; i < s->nfolders; i++) {
        cis_free(s->folders[i]);
    }
    cis_free(s->folders);
    cis_buf_done(&s->file);
}

static void show(struct search *s, const char *path, size_t number, const char *line, size_t len)
{
    size_t most = cis_utf8_floor(line, len, LINE_MAX_SHOWN);
    cis_buf_printf(&s->out->text, "%s:%zu: ", path, number);
    cis_buf_add(&s->out->text, line, most);
    cis_buf_text(&s->out->text, most < len ? "…\n" : "\n");
    s->hits++;
    s->cut = s->hits == HITS_MAX || s->out->text.len > TEXT_MAX;
}

static void look(struct search *s, const char *path)
{
    const char *text = (const char *)s->file.ptr, *end = text + s->file.len;
    size_t number = 1;
    for (const char *line = text; line < end && !s->cut;) {
        const char *hit = memmem(line, (size_t)(end - line), s->pattern.ptr, s->pattern.len);
        if (hit == NULL) {
            return;
        }
        for (const char *p; (p = memchr(line, '\n', (size_t)(hit - line))) != NULL; line = p + 1) {
            number++;
        }
        const char *stop = memchr(hit, '\n', (size_t)(end - hit));
        stop = stop != NULL ? stop : end;
        show(s, path, number, line, (size_t)(stop - line));
        line = stop < end ? stop + 1 : end;
        number++;
    }
}

/* What cannot be read, is too long or no text, has no lines to show. */
static cis_code look_file(struct search *s, const char *path, struct cis_error *err)
{
    struct cis_error why = {0};
    cis_buf_reset(&s->file);
    cis_code code = cis_mcp_tree_read(s->tree, cis_str_of(path), MCP_TEXT_MAX, &s->file, &why);
    if (code == CIS_E_CANCELLED || code == CIS_E_DEADLINE || code == CIS_E_NOMEM) {
        return cis_fail(err, code, "%s", why.msg);
    }
    if (code == CIS_OK && s->file.len != 0 && cis_text_is(cis_buf_bytes(&s->file))) {
        look(s, path);
    }
    return cis_stop_check(&s->tree->call->stop, "search", err);
}

static bool push(struct search *s, char *path)
{
    if (s->nfolders == s->cap) {
        size_t cap = cis_cap_next(s->cap, 64, FOLDERS_MAX);
        char **more = cis_realloc_array(s->folders, cap, sizeof *more);
        s->folders = more != NULL ? more : s->folders;
        s->cap = more != NULL ? cap : s->cap;
    }
    if (path == NULL || s->nfolders == s->cap ||
        cis_budget_charge(&s->tree->budget, strlen(path) + PATH_COSTS, "names", NULL) != CIS_OK) {
        cis_free(path);
        s->full = true;
        return false;
    }
    s->folders[s->nfolders++] = path;
    return true;
}

/* Files and folders of a folder, to be looked at once it is read. Links are not followed. */
static bool take_name(void *self, const struct cis_vfs_entry *e, const struct cis_vfs_attr *attr)
{
    struct search *s = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(2 * CIS_VFS_PATH_MAX);
    (void)attr;
    bool folder = S_ISDIR(e->type);
    if ((!folder && !S_ISREG(e->type)) || cis_str_is(e->name, ".") || cis_str_is(e->name, "..") ||
        cis_str_is(e->name, CIS_CONTROL_NAME)) {
        return true;
    }
    cis_buf_printf(&path, "%s%s", s->at, strcmp(s->at, "/") == 0 ? "" : "/");
    cis_buf_str(&path, e->name);
    cis_buf_text(&path, folder ? "/" : "");
    return path.len >= CIS_VFS_PATH_MAX || path.failed != CIS_OK ||
           push(s, cis_strdup(cis_buf_cstr(&path)));
}

static cis_code look_folder(struct search *s, char *path, struct cis_error *err)
{
    struct mcp_tree *t = s->tree;
    struct cis_vfs_attr attr;
    cis_vfs_file *file = NULL;
    size_t len = strlen(path);
    if (len > 1 && path[len - 1] == '/') {
        path[len - 1] = 0;
    }
    s->at = path;
    int rc = cis_at_open(
        t->root, &t->vfs, cis_str_of(path),
        &(struct cis_open_how){CIS_WALK_CHROOT | CIS_WALK_NOFOLLOW, O_RDONLY | O_DIRECTORY, 0},
        &file, &attr);
    rc = rc == 0 ? cis_vfs_readdir(file, &t->vfs, 0, false, take_name, s) : rc;
    cis_vfs_file_close(file);
    if (rc == ENOENT || rc == EACCES || rc == EPERM) { /* removed meanwhile, or somebody else's */
        return CIS_OK;
    }
    return rc == 0 ? CIS_OK : cis_mcp_tree_fail(t, rc, cis_str_of(path), err);
}

static cis_code look_all(struct search *s, struct cis_error *err)
{
    while (s->nfolders != 0 && !s->cut && !s->full) {
        CIS_CLEANUP(cis_freep) char *path = s->folders[--s->nfolders];
        size_t len = strlen(path);
        cis_budget_release(&s->tree->budget, len + PATH_COSTS);
        CIS_TRY(path[len - 1] == '/' ? look_folder(s, path, err) : look_file(s, path, err));
    }
    return s->full ? cis_fail(err, CIS_E_LIMIT,
                              "more than %u names, or more than a call may hold "
                              "(limits.host_bytes): search a folder further down",
                              FOLDERS_MAX)
                   : CIS_OK;
}

cis_code cis_mcp_fs_search(struct mcp_call *call, const struct mcp_tool *tool,
                           const json_t *arguments, struct mcp_result *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_mcp_tree_close) struct mcp_tree t = {0};
    struct cis_str path = cis_mcp_field(arguments, "path");
    path = path.ptr != NULL ? path : CIS_STR("/");
    CIS_CLEANUP(search_done)
    struct search s = {.tree = &t,
                       .out = out,
                       .pattern = cis_mcp_field(arguments, "pattern"),
                       .file = CIS_BUF_INIT(MCP_TEXT_MAX + 65536)};
    struct cis_vfs_attr attr;
    CIS_TRY(cis_mcp_path_check(path, err));
    CIS_TRY(cis_mcp_tree_open(call, tool->name, false, &t, err));
    int rc = cis_at_stat(t.root, &t.vfs, path, CIS_WALK_CHROOT, &attr);
    if (rc != 0) {
        return cis_mcp_tree_fail(&t, rc, path, err);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf from = CIS_BUF_INIT(2 * CIS_VFS_PATH_MAX);
    cis_buf_str(&from, path);
    cis_buf_text(&from, S_ISDIR(attr.mode) && path.ptr[path.len - 1] != '/' ? "/" : "");
    push(&s, cis_strdup(cis_buf_cstr(&from)));
    CIS_TRY(look_all(&s, err));
    if (s.hits == 0) {
        cis_buf_text(&out->text, "not found\n");
    } else if (s.cut) {
        cis_buf_text(&out->text, "(there may be more)\n");
    }
    return CIS_OK;
}
