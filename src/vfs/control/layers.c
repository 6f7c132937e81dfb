#include <fcntl.h>
#include <jansson.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "vfs/control/internal.h"

int ctl_errno(cis_code code)
{
    static const struct {
        cis_code code;
        int no;
    } rows[] = {{CIS_OK, 0},
                {CIS_E_NOTFOUND, ENOENT},
                {CIS_E_EXISTS, EEXIST},
                {CIS_E_CONFLICT, EBUSY},
                {CIS_E_QUOTA, EDQUOT},
                {CIS_E_INVALID, EINVAL},
                {CIS_E_USAGE, EINVAL},
                {CIS_E_EXPIRED, ESTALE},
                {CIS_E_LIMIT, EMFILE},
                {CIS_E_DENIED, EROFS},
                {CIS_E_NOMEM, ENOMEM}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].code == code) {
            return rows[i].no;
        }
    }
    return EIO;
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

cis_code ctl_snapshot_find(struct ctl *c, struct cis_str name, struct ctl_snapshot *out,
                           struct cis_error *err)
{
    struct find find = {out, name};
    *out = (struct ctl_snapshot){.found = false};
    return c->o.store->fs->snapshots(c->o.store, c->o.tenant, (struct cis_str){NULL, 0}, find_row,
                                     &find, NULL, err);
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
    cis_buf_text(out, "{\"layer_id\":");
    cis_buf_json(out, cis_str_of(layer->id));
    cis_buf_text(out, ",\"name\":");
    cis_buf_json(out, cis_str_of(layer->name));
    cis_buf_text(out, ",\"parent_id\":");
    if (l->parent[0] != 0) {
        cis_buf_json(out, cis_str_of(l->parent));
    } else {
        cis_buf_text(out, "null");
    }
    cis_buf_printf(out,
                   ",\"created_at\":\"%s\",\"is_readonly\":%s,\"is_current\":%s,"
                   "\"file_count\":%llu,\"total_size\":%llu,\"description\":",
                   when, layer->head ? "false" : "true", layer->head ? "true" : "false",
                   (unsigned long long)layer->files, (unsigned long long)layer->bytes);
    cis_buf_json(out, layer->note);
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
    cis_buf_text(l->out, l->nested ? ",\"children\":[" : "},");
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
    return c->o.store->fs->snapshots(c->o.store, c->o.tenant, (struct cis_str){NULL, 0}, each, l,
                                     NULL, err);
}

/* What is mounted, with the changes that no commit has yet. */
static cis_code put_head(struct ctl *c, struct layers *l, struct cis_error *err)
{
    struct cis_vfs_call call = {.err = err};
    struct cis_vfs_usage usage = {0};
    struct cis_fs_ref ref = {.name = "snapshot"};
    cis_vfs *head = cis_control_head(&c->vfs);
    int no = head->ops->statfs(head, &call, &usage);
    if (no != 0) {
        return cis_fail_sys(err, CIS_E_IO, no, "layers: statfs");
    }
    if (c->o.ref.len != 0) {
        CIS_TRY(c->o.store->fs->ref_get(c->o.store, c->o.tenant, c->o.ref, &ref, NULL, err));
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
    cis_buf_text(out, nested ? ",\"children\":[]}" : "}");
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

static cis_code head_flush(struct ctl *c, struct cis_error *err)
{
    struct cis_vfs_call call = {.err = err};
    cis_vfs *head = cis_control_head(&c->vfs);
    int no = head->ops->flush(head, &call);
    if (no == 0) {
        return CIS_OK;
    }
    return err->code != CIS_OK ? err->code : cis_fail_sys(err, CIS_E_IO, no, "flush");
}

static cis_code head_view(struct ctl *c, struct cis_view *out, struct cis_error *err)
{
    struct cis_fs_ref ref;
    CIS_TRY(c->o.store->fs->ref_get(c->o.store, c->o.tenant, c->o.ref, &ref, NULL, err));
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
    CIS_TRY(head_flush(c, err));
    CIS_TRY(head_view(c, &to, err));
    return c->o.diff(c->o.self, l.last, to, out, err);
}

static cis_code text_usage(struct ctl *c, struct cis_buf *out, struct cis_error *err)
{
    struct layers l = {.out = out};
    struct cis_vfs_call call = {.err = err};
    struct cis_vfs_usage usage = {0};
    cis_vfs *head = cis_control_head(&c->vfs);
    CIS_TRY(each_snapshot(c, count_layer, &l, err));
    int no = head->ops->statfs(head, &call, &usage);
    if (no != 0) {
        return cis_fail_sys(err, CIS_E_IO, no, "usage");
    }
    cis_buf_printf(out, "{\"layer_count\":%u,\"total_size\":%llu,\"total_files\":%llu,", l.n + 1,
                   (unsigned long long)usage.bytes, (unsigned long long)usage.files);
    cis_buf_text(out, "\"tenant_id\":");
    cis_buf_json(out, c->o.tenant);
    cis_buf_text(out, "}\n");
    return CIS_OK;
}

static cis_code text_mount(struct ctl *c, struct cis_buf *out)
{
    cis_buf_printf(out, "{\"schema\":1,\"pid\":%d,\"tenant\":", (int)getpid());
    cis_buf_json(out, c->o.tenant);
    cis_buf_text(out, ",\"branch\":");
    cis_buf_json(out, c->o.ref);
    cis_buf_text(out, "}\n");
    return CIS_OK;
}

cis_code ctl_text(struct ctl *c, enum ctl_id id, struct cis_buf *out, struct cis_error *err)
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
        pthread_mutex_lock(&c->lock);
        cis_buf_printf(out, "%s%s", c->last_error, c->last_error[0] != 0 ? "\n" : "");
        pthread_mutex_unlock(&c->lock);
        break;
    default:
        break;
    }
    CIS_TRY(code);
    return cis_buf_check(out, "control file", err);
}

/* ---- verbs ---- */

struct order {
    struct cis_str name, note;
    bool force;
    json_t *json; /* owns both texts; NULL: they are the caller's */
};

static void order_done(struct order *order)
{
    json_decref(order->json);
}

static struct cis_str text_of(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return (struct cis_str){json_string_value(value), json_string_length(value)};
}

/* A name as it is, or a JSON object that has it under `key`. */
static cis_code order_read(struct cis_str text, const char *key, struct order *out,
                           struct cis_error *err)
{
    text = cis_str_trim(text);
    if (text.len == 0 || text.ptr[0] != '{') {
        out->name = text;
        return CIS_OK;
    }
    out->json = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(out->json)) {
        return cis_fail(err, CIS_E_INVALID, "layers: neither a name nor a JSON object");
    }
    out->name = text_of(out->json, key);
    out->note = text_of(out->json, "description");
    out->force = json_is_true(json_object_get(out->json, "force"));
    return CIS_OK;
}

static cis_code verb_new(struct ctl *c, const struct order *order, struct cis_error *err)
{
    struct cis_fs_snapshot snapshot = {.note = order->note};
    if (!cis_fs_ref_valid(order->name)) {
        return cis_fail(err, CIS_E_INVALID, "layers/new: not a name for a snapshot");
    }
    if (order->note.len > 1024) {
        return cis_fail(err, CIS_E_INVALID, "layers/new: a description of more than 1024 bytes");
    }
    memcpy(snapshot.name, order->name.ptr, order->name.len);
    snapshot.note.ptr = order->note.ptr != NULL ? order->note.ptr : "";
    cis_id_new(snapshot.id);
    CIS_TRY(head_flush(c, err));
    CIS_TRY(head_view(c, &snapshot.view, err));
    return c->o.store->fs->snapshot_put(c->o.store, c->o.tenant, &snapshot, NULL, err);
}

struct names {
    struct ctl *c;
    struct cis_buf text; /* NUL after each */
};

static bool note_entry(void *self, const struct cis_vfs_entry *entry,
                       const struct cis_vfs_attr *attr)
{
    struct names *names = self;
    (void)attr;
    cis_buf_str(&names->text, entry->name);
    cis_buf_byte(&names->text, 0);
    return names->text.failed == CIS_OK;
}

/* Names in the root before and after: what a kernel may remember. */
static void names_of(struct names *names, cis_vfs *vfs)
{
    struct cis_vfs_call call = {0};
    cis_vfs_file *file = NULL;
    if (vfs->ops->open(vfs, &call, vfs->root, O_RDONLY | O_DIRECTORY, &file) == 0) {
        (void)file->vfs->ops->readdir(file, &call, 0, false, note_entry, names);
        file->vfs->ops->release(file);
    }
}

static cis_code switch_head(struct ctl *c, struct cis_view to, cis_vfs **out_old,
                            struct cis_error *err)
{
    struct cis_view from, head;
    cis_vfs *vfs = NULL;
    *out_old = cis_control_head(&c->vfs);
    CIS_TRY(head_flush(c, err));
    CIS_TRY(head_view(c, &from, err));
    CIS_TRY(c->o.store->fs->ref_move(c->o.store, c->o.tenant, c->o.ref, from, to, c->o.fence, &head,
                                     NULL, err));
    cis_code code = c->o.open(c->o.self, head, true, &vfs, err);
    if (code == CIS_OK) {
        code = ctl_slot_head(c, vfs, err);
    }
    if (code != CIS_OK) { /* the branch is elsewhere, and this mount cannot follow */
        cis_vfs_close(vfs);
        atomic_store(&c->sealed, true);
    }
    return code;
}

static cis_code verb_switch(struct ctl *c, const struct order *order, struct cis_error *err)
{
    struct ctl_snapshot to;
    struct names names = {.c = c, .text = CIS_BUF_INIT(16u << 20)};
    cis_vfs *old = NULL;
    CIS_TRY(ctl_snapshot_find(c, order->name, &to, err));
    if (!to.found) {
        return cis_fail(err, CIS_E_NOTFOUND, "layers/switch: no layer of that name or id");
    }
    pthread_rwlock_wrlock(&c->turn);
    cis_code code = switch_head(c, to.view, &old, err);
    pthread_rwlock_unlock(&c->turn);
    if (code == CIS_OK && c->o.switched != NULL) {
        names_of(&names, old);
        names_of(&names, cis_control_head(&c->vfs));
        for (size_t at = 0; at < names.text.len;) {
            struct cis_str name = cis_str_of((const char *)names.text.ptr + at);
            c->o.switched(c->o.self, c->vfs.root, name);
            at += name.len + 1;
        }
        c->o.switched(c->o.self, c->vfs.root, CIS_STR(""));
    }
    cis_buf_done(&names.text);
    return code;
}

static cis_code verb_drop(struct ctl *c, const struct order *order, struct cis_error *err)
{
    struct ctl_snapshot layer;
    CIS_TRY(ctl_snapshot_find(c, order->name, &layer, err));
    if (!layer.found) {
        return cis_fail(err, CIS_E_NOTFOUND, "layers/drop: no layer of that name or id");
    }
    if (!order->force && ctl_slot_used(c, layer.view)) {
        return cis_fail(err, CIS_E_CONFLICT, "layers/drop: files of %s are in use (\"force\":true)",
                        layer.name);
    }
    return c->o.store->fs->snapshot_remove(c->o.store, c->o.tenant, cis_str_of(layer.name), NULL,
                                           err);
}

static cis_code verb_run(struct ctl *c, enum ctl_id id, struct cis_str text, struct cis_error *err)
{
    CIS_CLEANUP(order_done) struct order order = {.json = NULL};
    if (atomic_load(&c->sealed) || c->vfs.read_only) {
        return cis_fail(err, CIS_E_DENIED, "layers: this mount is read-only");
    }
    CIS_TRY(order_read(text, id == CTL_NEW ? "name" : "layer", &order, err));
    return id == CTL_NEW      ? verb_new(c, &order, err)
           : id == CTL_SWITCH ? verb_switch(c, &order, err)
                              : verb_drop(c, &order, err);
}

/* Never waited for: telling the kernel about a switch needs other requests to go on. */
int ctl_verb(struct ctl *c, enum ctl_id id, struct cis_str text)
{
    struct cis_error err = {0};
    if (text.len > CTL_VERB_MAX) {
        return E2BIG;
    }
    if (pthread_mutex_trylock(&c->verb) != 0) {
        return EBUSY;
    }
    cis_code code = verb_run(c, id, text, &err);
    pthread_mutex_unlock(&c->verb);
    cis_control_note(&c->vfs, code == CIS_OK ? "" : err.msg);
    return ctl_errno(code);
}
