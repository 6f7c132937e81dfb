/* What a write to layers/new, layers/switch and layers/drop does. */
#include <fcntl.h>
#include <jansson.h>
#include "base/crypto.h"
#include "vfs/control/internal.h"
#include "store/calls.h"

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
        return cis_fail(err, CIS_E_INVALID, "layers/new: not a valid name for a snapshot");
    }
    if (order->note.len > 1024) {
        return cis_fail(err, CIS_E_INVALID, "layers/new: a description of more than 1024 bytes");
    }
    memcpy(snapshot.name, order->name.ptr, order->name.len);
    snapshot.note.ptr = order->note.ptr != NULL ? order->note.ptr : "";
    cis_id_new(snapshot.id);
    CIS_TRY(cis_ctl_head_flush(c, err));
    CIS_TRY(cis_ctl_head_view(c, &snapshot.view, err));
    return cis_store_snapshot_put(c->o.store, c->o.tenant, &snapshot, NULL, err);
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
    if (cis_vfs_open(vfs, &call, vfs->root, O_RDONLY | O_DIRECTORY, &file) == 0) {
        (void)file->vfs->ops->readdir(file, &call, 0, false, note_entry, names);
        cis_vfs_release(file);
    }
}

static cis_code switch_head(struct ctl *c, const struct ctl_snapshot *layer, cis_vfs **out_old,
                            struct cis_error *err)
{
    char why[sizeof layer->name + 32];
    struct cis_view from, head;
    cis_vfs *vfs = NULL;
    *out_old = cis_control_head(&c->vfs);
    CIS_TRY(cis_ctl_head_flush(c, err));
    CIS_TRY(cis_ctl_head_view(c, &from, err));
    snprintf(why, sizeof why, "layers/switch %s", layer->name);
    CIS_TRY(cis_store_ref_move(c->o.store, c->o.tenant,
                               &(struct cis_fs_move_request){.name = c->o.ref,
                                                             .expect = from,
                                                             .to = layer->view,
                                                             .fence = c->o.fence,
                                                             .why = cis_str_of(why)},
                               &head, NULL, err));
    cis_code code = c->o.open(c->o.self, head, true, &vfs, err);
    if (code == CIS_OK) {
        code = cis_ctl_slot_head(c, vfs, err);
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
    CIS_TRY(cis_ctl_snapshot_find(c, order->name, &to, err));
    if (!to.found) {
        return cis_fail(err, CIS_E_NOTFOUND, "layers/switch: no layer of that name or id");
    }
    cis_rwlock_write(&c->turn, ctl_lock_turn);
    cis_code code = switch_head(c, &to, &old, err);
    cis_rwlock_unlock(&c->turn, ctl_lock_turn);
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
    CIS_TRY(cis_ctl_snapshot_find(c, order->name, &layer, err));
    if (!layer.found) {
        return cis_fail(err, CIS_E_NOTFOUND, "layers/drop: no layer of that name or id");
    }
    if (!order->force && cis_ctl_slot_used(c, layer.view)) {
        return cis_fail(
            err, CIS_E_CONFLICT,
            "layers/drop: files of %s are in use (\"force\":true drops it all the same)",
            layer.name);
    }
    return cis_store_snapshot_remove(c->o.store, c->o.tenant, cis_str_of(layer.name), NULL, err);
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
int cis_ctl_verb(struct ctl *c, enum ctl_id id, struct cis_str text)
{
    struct cis_error err = {0};
    if (text.len > CTL_VERB_MAX) {
        return E2BIG;
    }
    if (!cis_mutex_trylock(&c->verb, ctl_lock_verb)) {
        return EBUSY;
    }
    cis_code code = verb_run(c, id, text, &err);
    cis_mutex_unlock(&c->verb, ctl_lock_verb);
    cis_control_well(&c->vfs, CIS_CONTROL_VERB);
    if (code != CIS_OK) {
        cis_control_note(&c->vfs, CIS_CONTROL_VERB, err.msg);
    }
    return cis_ctl_errno(code);
}
