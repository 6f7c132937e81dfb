/* What differs between two states of the served branch: as a list, and as text. */
#include "mcp/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "base/mem.h"
#include "history/text.h"

#define CHANGES_MAX 1000u
#define TEXT_MAX ((size_t)1 << 20)
#define CONTEXT 3u

struct change {
    char what;
    bool file;
    char *path, *from; /* with a slash before them; from NULL: none */
    uint64_t size;
};

struct changes {
    bool cow;
    struct change *at;
    size_t n, cap, more; /* more: left out */
    bool full;
};

static void changes_done(struct changes *c)
{
    for (size_t i = 0; i < c->n; i++) {
        cis_free(c->at[i].path);
        cis_free(c->at[i].from);
    }
    cis_free(c->at);
}

static char *with_slash(struct cis_str path)
{
    char *out = cis_alloc(cis_size_add(path.len, 2));
    if (out != NULL) {
        out[0] = '/';
        memcpy(out + 1, path.ptr, path.len);
        out[1 + path.len] = 0;
    }
    return out;
}

/* What a union keeps for itself in the branch of a folder. */
static bool kept(struct cis_str path)
{
    struct cis_str name;
    for (bool more = true; more;) {
        more = cis_str_split(&path, '/', &name);
        if (cis_str_starts(name, CIS_STR(CIS_VFS_KEPT))) {
            return true;
        }
    }
    return false;
}

static bool take_change(void *self, const struct cis_change *c)
{
    struct changes *all = self;
    if (c->cut || (all->cow && kept(c->path))) {
        all->more += c->cut;
        return true;
    }
    if (all->n == CHANGES_MAX) {
        all->more++;
        return true;
    }
    if (all->n == all->cap) {
        size_t cap = cis_cap_next(all->cap, 16, CHANGES_MAX * 2);
        struct change *more = cis_realloc_array(all->at, cap, sizeof *more);
        all->full = more == NULL;
        if (more == NULL) {
            return false;
        }
        all->at = more;
        all->cap = cap;
    }
    /* In the branch of a folder a name that is gone shows the folder's again, and one that is new
     * may stand for one that the folder has. */
    char what = all->cow && c->what != 'R' ? 'M' : c->what;
    uint32_t mode = c->mode != 0 ? c->mode : c->old_mode;
    all->at[all->n] = (struct change){.what = what,
                                      .file = S_ISREG(mode) || S_ISCHR(mode),
                                      .path = with_slash(c->path),
                                      .from = c->what == 'R' ? with_slash(c->from) : NULL,
                                      .size = c->size};
    all->full = all->at[all->n].path == NULL || (c->what == 'R' && all->at[all->n].from == NULL);
    all->n++;
    return !all->full;
}

/* ---- one state, to read files of ---- */

void cis_mcp_side_close(struct mcp_side *s)
{
    cis_dir_free(s->root);
    cis_ns_free(s->ns);
    cis_vfs_close(s->view);
    cis_cow_close(s->cow);
}

cis_code cis_mcp_side_open(struct mcp_call *call, struct cis_view at, struct mcp_side *s,
                           struct cis_error *err)
{
    const struct cis_mcp_options *o = &call->mcp->o;
    *s = (struct mcp_side){.call = call, .vfs = {.stop = &call->stop}};
    if (o->folder != NULL) {
        struct cis_cow_options cow = {.fs_cache = o->fs_cache,
                                      .tenant = o->tenant,
                                      .at = at,
                                      .folder = o->folder,
                                      .exact = true,
                                      .stop = &call->stop};
        return cis_cow_open(&cow, &s->cow, err);
    }
    struct cis_layered_options l = CIS_LAYERED_OPTIONS_INIT;
    l.tenant = cis_str_of(o->tenant);
    l.at = at;
    l.read_only = true;
    CIS_TRY(cis_layered_open(o->fs_cache, &l, &call->stop, &s->view, err));
    CIS_TRY(cis_ns_new(&s->ns, err));
    CIS_TRY(cis_ns_mount(s->ns, CIS_STR("/"), s->view, 0, true, err));
    int rc = cis_dir_root(s->ns, &s->vfs, CIS_STR("/"), &s->root);
    return rc == 0 ? CIS_OK : cis_vfs_fail(err, rc, "/");
}

static cis_code read_view(struct mcp_side *s, struct cis_str path, struct cis_buf *out,
                          struct cis_error *err)
{
    struct mcp_tree tree = {.call = s->call, .root = s->root, .vfs = s->vfs};
    tree.vfs.err = &tree.why;
    struct cis_vfs_attr attr;
    int rc = cis_at_stat(s->root, &tree.vfs, path, CIS_WALK_CHROOT | CIS_WALK_NOFOLLOW, &attr);
    if (rc == 0 && !S_ISREG(attr.mode)) {
        return cis_fail(err, CIS_E_INVALID, "is not a file");
    }
    return rc != 0 ? cis_vfs_fail(err, rc, "%s", "does not exist")
                   : cis_mcp_tree_read(&tree, path, CIS_TEXT_DIFF_MAX, out, err);
}

cis_code cis_mcp_side_read(struct mcp_side *s, const char *path, struct cis_buf *out,
                           enum mcp_there *out_there, struct cis_error *err)
{
    struct cis_error why = {0};
    cis_code code = s->cow != NULL ? cis_cow_read(s->cow, cis_str_of(path + 1), false, out, &why)
                                   : read_view(s, cis_str_of(path), out, &why);
    if (code == CIS_E_CANCELLED || code == CIS_E_DEADLINE || code == CIS_E_NOMEM) {
        return cis_fail(err, code, "%s", why.msg);
    }
    *out_there = code == CIS_OK           ? MCP_FILE
                 : code == CIS_E_NOTFOUND ? MCP_ABSENT
                 : code == CIS_E_INVALID  ? MCP_OTHER
                                          : MCP_UNREAD;
    return CIS_OK;
}

/* ---- text ---- */

static cis_code text_of(struct mcp_side *before, struct mcp_side *after, const struct change *c,
                        struct cis_buf *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf was = CIS_BUF_INIT(CIS_TEXT_DIFF_MAX + 65536);
    CIS_CLEANUP(cis_buf_done) struct cis_buf now = CIS_BUF_INIT(CIS_TEXT_DIFF_MAX + 65536);
    CIS_CLEANUP(cis_buf_done) struct cis_buf a = CIS_BUF_INIT((size_t)1 << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT((size_t)1 << 20);
    const char *old = c->from != NULL ? c->from : c->path;
    enum mcp_there had, has;
    CIS_TRY(cis_mcp_side_read(before, old, &was, &had, err));
    CIS_TRY(cis_mcp_side_read(after, c->path, &now, &has, err));
    if (had > MCP_FILE || has > MCP_FILE || !cis_text_is(cis_buf_bytes(&was)) ||
        !cis_text_is(cis_buf_bytes(&now))) {
        cis_buf_printf(out, "%c %s (no text that could be compared)\n", c->what, c->path);
        return CIS_OK;
    }
    cis_buf_printf(&a, had == MCP_FILE ? "a%s" : "/dev/null", old);
    cis_buf_printf(&b, has == MCP_FILE ? "b%s" : "/dev/null", c->path);
    return cis_text_diff(cis_buf_bytes(&was), cis_buf_bytes(&now), cis_buf_view(&a),
                         cis_buf_view(&b), CONTEXT, out, &before->call->stop, err);
}

static cis_code write_text(struct mcp_call *call, const struct changes *all, struct cis_view from,
                           struct cis_view to, struct cis_buf *text, struct cis_error *err)
{
    CIS_CLEANUP(cis_mcp_side_close) struct mcp_side before = {0};
    CIS_CLEANUP(cis_mcp_side_close) struct mcp_side after = {0};
    size_t i = 0;
    CIS_TRY(cis_mcp_side_open(call, from, &before, err));
    CIS_TRY(cis_mcp_side_open(call, to, &after, err));
    for (; i < all->n && text->len < TEXT_MAX; i++) {
        const struct change *c = &all->at[i];
        if (c->from != NULL) {
            cis_buf_printf(text, "R %s -> %s\n", c->from, c->path);
        }
        if (c->file) {
            CIS_TRY(text_of(&before, &after, c, text, err));
        } else if (c->from == NULL) {
            cis_buf_printf(text, "%c %s\n", c->what, c->path);
        }
        CIS_TRY(cis_stop_check(&call->stop, "diff", err));
    }
    if (i < all->n || all->more != 0) {
        cis_buf_printf(text, "(and %zu more)\n", all->n - i + all->more);
    }
    return CIS_OK;
}

static void list(const struct changes *all, json_t *changes)
{
    for (size_t i = 0; i < all->n; i++) {
        const struct change *c = &all->at[i];
        json_t *one = json_pack("{s:s%,s:o,s:I}", "what", &c->what, (size_t)1, "path",
                                cis_mcp_text_of(c->path), "size", (json_int_t)c->size);
        if (c->from != NULL) {
            json_object_set_new(one, "from", cis_mcp_text_of(c->from));
        }
        json_array_append_new(changes, one);
    }
}

cis_code cis_mcp_diff(struct mcp_call *call, struct cis_view before, struct cis_view after,
                      struct cis_buf *text, json_t *changes, size_t *out_omitted,
                      struct cis_error *err)
{
    CIS_CLEANUP(changes_done) struct changes all = {.cow = call->mcp->o.folder != NULL};
    struct cis_history h = cis_mcp_history(call);
    CIS_TRY(cis_history_diff(&h, before, after, take_change, &all, err));
    if (all.full) {
        return cis_fail(err, CIS_E_NOMEM, "diff: out of memory");
    }
    if (changes != NULL) {
        list(&all, changes);
    }
    if (out_omitted != NULL) {
        *out_omitted = all.more;
    }
    return text != NULL ? write_text(call, &all, before, after, text, err) : CIS_OK;
}

cis_code cis_mcp_run_show(struct mcp_call *call, const struct mcp_run *run, struct cis_buf *text,
                          struct cis_error *err)
{
    struct cis_view before = {run->commit.branch, run->commit.epoch - 1};
    if (run->commit.branch == 0) {
        cis_buf_text(text, "nothing was changed\n");
        return CIS_OK;
    }
    return cis_mcp_diff(call, before, run->commit, text, NULL, NULL, err);
}
