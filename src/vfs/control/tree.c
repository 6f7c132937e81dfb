#include <fcntl.h>
#include "base/mem.h"
#include "vfs/control/internal.h"
#include "store/calls.h"

const struct ctl_row cis_ctl_rows[CTL_COUNT] = {
    [CTL_TARBOX] = {CTL_NONE, CTL_DIR, CIS_CONTROL_NAME},
    [CTL_LAYERS] = {CTL_TARBOX, CTL_DIR, "layers"},
    [CTL_STATS] = {CTL_TARBOX, CTL_DIR, "stats"},
    [CTL_SNAPSHOTS] = {CTL_TARBOX, CTL_DIR, "snapshots"},
    [CTL_CURRENT] = {CTL_LAYERS, CTL_READ, "current"},
    [CTL_LIST] = {CTL_LAYERS, CTL_READ, "list"},
    [CTL_TREE] = {CTL_LAYERS, CTL_READ, "tree"},
    [CTL_DIFF] = {CTL_LAYERS, CTL_OWN, "diff"},
    [CTL_NEW] = {CTL_LAYERS, CTL_VERB, "new"},
    [CTL_SWITCH] = {CTL_LAYERS, CTL_VERB, "switch"},
    [CTL_DROP] = {CTL_LAYERS, CTL_VERB, "drop"},
    [CTL_USAGE] = {CTL_STATS, CTL_READ, "usage"},
    [CTL_LAST_ERROR] = {CTL_TARBOX, CTL_OWN, "last_error"},
    [CTL_MOUNT] = {CTL_TARBOX, CTL_READ, "mount"},
};

static bool is_there(const struct ctl *c, enum ctl_id id)
{
    if (c->o.store == NULL && (id == CTL_LAYERS || id == CTL_SNAPSHOTS)) {
        return false;
    }
    return (id != CTL_DIFF || c->o.diff != NULL) &&
           (c->o.ref.len != 0 || cis_ctl_rows[id].kind != CTL_VERB);
}

void cis_ctl_tree_attr(const struct ctl *c, enum ctl_id id, struct cis_vfs_attr *out)
{
    static const uint32_t modes[] = {[CTL_DIR] = S_IFDIR | 0555,
                                     [CTL_READ] = S_IFREG | 0444,
                                     [CTL_VERB] = S_IFREG | 0200,
                                     [CTL_OWN] = S_IFREG | 0400};
    *out = (struct cis_vfs_attr){.ino = ctl_node(id),
                                 .mode = modes[cis_ctl_rows[id].kind],
                                 .nlink = cis_ctl_rows[id].kind == CTL_DIR ? 2 : 1,
                                 .uid = c->o.uid,
                                 .gid = c->o.gid,
                                 .atime = c->born,
                                 .mtime = c->born,
                                 .ctime = c->born,
                                 .btime = c->born};
}

/* ---- snapshots ---- */

static void shown(struct cis_str name, char out[CIS_FS_REF_MAX + 1], char from, char to)
{
    for (size_t i = 0; i < name.len; i++) {
        out[i] = name.ptr[i] == from ? to : name.ptr[i];
    }
    out[name.len] = 0;
}

static int snapshot_lookup(struct ctl *c, const struct cis_vfs_call *call, struct cis_str name,
                           cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    struct cis_error err = {0};
    struct ctl_snapshot found = {.found = false};
    char text[CIS_FS_REF_MAX + 1];
    unsigned slot = 0;
    if (name.len > CIS_FS_REF_MAX) {
        return ENOENT;
    }
    shown(name, text, ':', '/');
    cis_code code = cis_ctl_snapshot_find(c, cis_str_of(text), &found, &err);
    if (code == CIS_OK && (!found.found || strcmp(found.name, text) != 0)) {
        return ENOENT;
    }
    if (code == CIS_OK) {
        code = cis_ctl_slot_snapshot(c, found.view, &slot, &err);
    }
    if (code != CIS_OK) {
        cis_control_note(&c->vfs, CIS_CONTROL_REQUEST, err.msg);
        return cis_ctl_errno(code);
    }
    struct ctl_slot *s = c->slots[slot];
    int rc = cis_vfs_getattr(s->vfs, call, s->vfs->root, out_attr);
    if (rc != 0) {
        atomic_fetch_sub(&s->refs, 1);
        return rc;
    }
    *out_node = (cis_node)slot << CTL_SHIFT | s->vfs->root;
    out_attr->ino = *out_node;
    return 0;
}

int cis_ctl_tree_lookup(struct ctl *c, const struct cis_vfs_call *call, enum ctl_id dir,
                        struct cis_str name, cis_node *out_node, struct cis_vfs_attr *out_attr)
{
    if (dir == CTL_SNAPSHOTS) {
        return snapshot_lookup(c, call, name, out_node, out_attr);
    }
    if (dir != CTL_NONE && cis_ctl_rows[dir].kind != CTL_DIR) {
        return ENOTDIR;
    }
    for (enum ctl_id id = CTL_TARBOX; id < CTL_COUNT; id++) {
        if (cis_ctl_rows[id].parent == dir && cis_str_is(name, cis_ctl_rows[id].name) &&
            is_there(c, id)) {
            *out_node = ctl_node(id);
            cis_ctl_tree_attr(c, id, out_attr);
            return 0;
        }
    }
    return ENOENT;
}

/* ---- open ---- */

static bool note_name(void *self, const struct cis_fs_snapshot *snapshot)
{
    char text[CIS_FS_REF_MAX + 1];
    shown(cis_str_of(snapshot->name), text, '/', ':');
    cis_buf_printf(self, "%s\n", text);
    return true;
}

/* A directory is listed as it was when it was opened. */
static cis_code list_names(struct ctl *c, enum ctl_id dir, struct cis_buf *out,
                           struct cis_error *err)
{
    cis_buf_text(out, ".\n..\n");
    if (dir == CTL_SNAPSHOTS) {
        CIS_TRY(cis_store_snapshots(c->o.store, c->o.tenant, (struct cis_str){NULL, 0}, note_name,
                                    out, NULL, err));
    }
    for (enum ctl_id id = CTL_TARBOX; id < CTL_COUNT; id++) {
        if (cis_ctl_rows[id].parent == dir && is_there(c, id)) {
            cis_buf_printf(out, "%s\n", cis_ctl_rows[id].name);
        }
    }
    return cis_buf_check(out, "control file", err);
}

int cis_ctl_tree_open(struct ctl *c, enum ctl_id id, int flags, cis_vfs_file **out_file)
{
    enum ctl_kind kind = cis_ctl_rows[id].kind;
    int access = flags & O_ACCMODE;
    if (kind == CTL_DIR && access != O_RDONLY) {
        return EISDIR;
    }
    if (kind != CTL_DIR && (flags & O_DIRECTORY) != 0) {
        return ENOTDIR;
    }
    if (kind != CTL_VERB ? access != O_RDONLY : access != O_WRONLY) {
        return EACCES;
    }
    struct ctl_file *file = cis_zalloc(sizeof *file);
    if (file == NULL) {
        return ENOMEM;
    }
    struct cis_error err = {0};
    cis_code code = CIS_OK;
    file->base = (cis_vfs_file){.vfs = &c->vfs, .node = ctl_node(id), .flags = flags};
    file->id = id;
    file->text = CIS_BUF_INIT(CTL_TEXT_MAX);
    if (kind == CTL_DIR) {
        code = list_names(c, id, &file->text, &err);
    } else if (kind == CTL_READ || kind == CTL_OWN) {
        code = cis_ctl_text(c, id, &file->text, &err);
    }
    if (code != CIS_OK) {
        cis_control_note(&c->vfs, CIS_CONTROL_REQUEST, err.msg);
        cis_buf_done(&file->text);
        cis_free(file);
        return cis_ctl_errno(code);
    }
    *out_file = &file->base;
    return 0;
}

/* Cookies are the line's number. */
int cis_ctl_tree_readdir(struct ctl_file *file, uint64_t cookie, bool attributes,
                         cis_vfs_entry_each *each, void *self)
{
    struct ctl *c = ctl_of(file->base.vfs);
    struct cis_str rest = cis_buf_view(&file->text), name;
    uint64_t at = 0;
    while (cis_str_split(&rest, '\n', &name)) {
        if (++at <= cookie) {
            continue;
        }
        struct cis_vfs_attr attr;
        struct cis_vfs_entry entry = {.name = name, .cookie = at};
        cis_node node = 0;
        cis_ctl_tree_attr(c, file->id, &attr);
        if (file->id == CTL_SNAPSHOTS) {
            attr.ino += at << 8; /* told apart; the tree's own number comes with a look-up */
        } else if (at > 2 && cis_ctl_tree_lookup(c, NULL, file->id, name, &node, &attr) != 0) {
            continue;
        }
        entry.ino = attr.ino;
        entry.type = attr.mode & S_IFMT;
        if (!each(self, &entry, attributes ? &attr : NULL)) {
            break;
        }
    }
    return 0;
}
