#include <unistd.h>
#include "base/clock.h"
#include "base/json_write.h"
#include "vfs/control/internal.h"
#include "store/calls.h"

/* What is refused here is refused because the mount may only be read. */
int cis_ctl_errno(cis_code code)
{
    return code == CIS_E_DENIED ? EROFS : cis_code_errno(code);
}

/* ---- snapshots ---- */

struct find {
    struct ctl_snapshot *out;
    struct cis_str name;
};

static bool find_row(void *self, const struct cis_fs_snapshot *row)
{
    struct find *find = self;
    struct cis_str id = {row->id, strnlen(row->id, sizeof row->id)};
    bool by_name = cis_str_is(find->name, row->name);
    if (by_name || (cis_str_eq(find->name, id) && !find->out->found)) {
        find->out->found = true;
        memcpy(find->out->name, row->name, sizeof find->out->name);
        find->out->view = row->view;
    }
    return !by_name; /* a name comes before an id */
}

cis_code cis_ctl_snapshot_find(struct ctl *c, struct cis_str name, struct ctl_snapshot *out,
                               struct cis_error *err)
{
    struct find find = {out, name};
    *out = (struct ctl_snapshot){.found = false};
    return cis_store_snapshots(c->o.store, c->o.tenant, (struct cis_str){NULL, 0}, find_row, &find,
                               NULL, err);
}

/* ---- layers as JSON: snapshots in the order they were made, then the head ---- */

struct layers {
    struct cis_buf *out;
    char parent[27]; /* the layer before; "": none */
    bool nested;
    unsigned n;
    struct cis_view last;
};

struct layer {
    const char *id, *name;
    int64_t created_ms;
    bool head;
    uint64_t files, bytes;
    struct cis_str note;
};

static void put_layer(struct layers *l, const struct layer *layer)
{
    struct cis_buf *out = l->out;
    char when[32];
    cis_clock_iso(layer->created_ms, when);
    cis_json_write(
        out, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("layer_id", layer->id), CIS_J("name", layer->name),
                      l->parent[0] != 0 ? CIS_J("parent_id", l->parent) : CIS_J_NULL("parent_id"),
                      CIS_J("created_at", when), CIS_J_BOOL("is_readonly", !layer->head),
                      CIS_J("is_current", layer->head), CIS_J("file_count", layer->files),
                      CIS_J("total_size", layer->bytes), CIS_J("description", layer->note)));
}

static bool note_layer(void *self, const struct cis_fs_snapshot *s)
{
    struct layers *l = self;
    struct layer layer = {.id = s->id,
                          .name = s->name,
                          .created_ms = s->created_ms,
                          .files = s->files,
                          .bytes = s->bytes,
                          .note = s->note};
    put_layer(l, &layer);
    cis_json_write(l->out, CIS_JSON(l->nested ? CIS_J_LIST("children") : CIS_J_CLOSE));
    memcpy(l->parent, s->id, sizeof l->parent);
    l->last = s->view;
    l->n++;
    return l->out->failed == CIS_OK;
}

static bool count_layer(void *self, const struct cis_fs_snapshot *s)
{
    struct layers *l = self;
    memcpy(l->parent, s->id, sizeof l->parent);
    l->last = s->view;
    l->n++;
    return true;
}

static cis_code each_snapshot(struct ctl *c, cis_fs_snapshot_each *each, struct layers *l,
                              struct cis_error *err)
{
    if (c->o.store == NULL) {
        return CIS_OK;
    }
    return cis_store_snapshots(c->o.store, c->o.tenant, (struct cis_str){NULL, 0}, each, l, NULL,
                               err);
}

/* What is mounted, with the changes that no commit has yet. */
static cis_code put_head(struct ctl *c, struct layers *l, struct cis_error *err)
{
    struct cis_vfs_call call = {.err = err};
    struct cis_vfs_usage usage = {0};
    struct cis_fs_ref ref = {.name = "snapshot"};
    cis_vfs *head = cis_control_head(&c->vfs);
    int rc = cis_vfs_statfs(head, &call, &usage);
    if (rc != 0) {
        return cis_fail_sys(err, CIS_E_IO, rc, "layers: cannot read what is used (statfs)");
    }
    if (c->o.ref.len != 0) {
        CIS_TRY(cis_store_ref_get(c->o.store, c->o.tenant, c->o.ref, &ref, NULL, err));
    }
    struct layer layer = {.id = "head",
                          .name = ref.name,
                          .created_ms = ref.created_ms,
                          .head = true,
                          .files = usage.files,
                          .bytes = usage.bytes,
                          .note = CIS_STR("")};
    put_layer(l, &layer);
    return CIS_OK;
}

static cis_code text_layers(struct ctl *c, bool nested, struct cis_buf *out, struct cis_error *err)
{
    struct layers l = {.out = out, .nested = nested};
    cis_buf_text(out, "[");
    CIS_TRY(each_snapshot(c, note_layer, &l, err));
    CIS_TRY(put_head(c, &l, err));
    cis_json_write(out,
                   CIS_JSON(CIS_J_IF(nested, CIS_J_RAW("children", CIS_STR("[]"))), CIS_J_CLOSE));
    for (unsigned i = 0; nested && i < l.n; i++) {
        cis_buf_text(out, "]}");
    }
    cis_buf_text(out, "]\n");
    return CIS_OK;
}

static cis_code text_current(struct ctl *c, struct cis_buf *out, struct cis_error *err)
{
    struct layers l = {.out = out};
    CIS_TRY(each_snapshot(c, count_layer, &l, err));
    CIS_TRY(put_head(c, &l, err));
    cis_buf_text(out, "}\n");
    return CIS_OK;
}

cis_code cis_ctl_head_flush(struct ctl *c, struct cis_error *err)
{
    struct cis_vfs_call call = {.err = err};
    cis_vfs *head = cis_control_head(&c->vfs);
    int rc = cis_vfs_flush(head, &call);
    if (rc == 0) {
        return CIS_OK;
    }
    return err->code != CIS_OK ? err->code : cis_fail_sys(err, CIS_E_IO, rc, "flush");
}

cis_code cis_ctl_head_view(struct ctl *c, struct cis_view *out, struct cis_error *err)
{
    struct cis_fs_ref ref;
    CIS_TRY(cis_store_ref_get(c->o.store, c->o.tenant, c->o.ref, &ref, NULL, err));
    *out = ref.head;
    return CIS_OK;
}

/* From the newest snapshot to the head, all that was written included. */
static cis_code text_diff(struct ctl *c, struct cis_buf *out, struct cis_error *err)
{
    struct layers l = {.out = out};
    struct cis_view to;
    CIS_TRY(each_snapshot(c, count_layer, &l, err));
    if (l.n == 0 || c->o.ref.len == 0) {
        cis_buf_text(out, "[]\n");
        return CIS_OK;
    }
    CIS_TRY(cis_ctl_head_flush(c, err));
    CIS_TRY(cis_ctl_head_view(c, &to, err));
    return c->o.diff(c->o.self, l.last, to, out, err);
}

static struct cis_str named(const struct ctl *c)
{
    struct cis_str name, instance;
    cis_fs_tenant_split(c->o.tenant, &name, &instance);
    return name;
}

static cis_code text_usage(struct ctl *c, struct cis_buf *out, struct cis_error *err)
{
    struct layers l = {.out = out};
    struct cis_vfs_call call = {.err = err};
    struct cis_vfs_usage usage = {0};
    cis_vfs *head = cis_control_head(&c->vfs);
    CIS_TRY(each_snapshot(c, count_layer, &l, err));
    int rc = cis_vfs_statfs(head, &call, &usage);
    if (rc != 0) {
        return cis_fail_sys(err, CIS_E_IO, rc, "usage");
    }
    cis_json_object(out, CIS_JSON(CIS_J("layer_count", l.n + 1), CIS_J("total_size", usage.bytes),
                                  CIS_J("total_files", usage.files), CIS_J("tenant_id", named(c))));
    cis_buf_byte(out, '\n');
    return CIS_OK;
}

static cis_code text_mount(struct ctl *c, struct cis_buf *out)
{
    cis_json_object(out, CIS_JSON(CIS_J("schema", 1u), CIS_J_INT("pid", getpid()),
                                  CIS_J("tenant", named(c)), CIS_J("branch", c->o.ref)));
    cis_buf_byte(out, '\n');
    return CIS_OK;
}

cis_code cis_ctl_text(struct ctl *c, enum ctl_id id, struct cis_buf *out, struct cis_error *err)
{
    cis_code code = CIS_OK;
    switch (id) {
    case CTL_CURRENT:
        code = text_current(c, out, err);
        break;
    case CTL_LIST:
    case CTL_TREE:
        code = text_layers(c, id == CTL_TREE, out, err);
        break;
    case CTL_DIFF:
        code = text_diff(c, out, err);
        break;
    case CTL_USAGE:
        code = text_usage(c, out, err);
        break;
    case CTL_MOUNT:
        code = text_mount(c, out);
        break;
    case CTL_LAST_ERROR:
        cis_ctl_notes_text(c, out);
        break;
    default:
        break;
    }
    CIS_TRY(code);
    return cis_buf_check(out, "control file", err);
}
