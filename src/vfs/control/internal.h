/* What the files of this room share. A node is a slot (which tree) above 48 bits of that tree's own
 * node; the control files are a slot of their own. The head that was there first is slot 0: its
 * nodes are unchanged. */
#ifndef CIS_VFS_CONTROL_INTERNAL_H
#define CIS_VFS_CONTROL_INTERNAL_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include "base/lock.h"
#include "vfs/control/control.h"

#define CTL_SHIFT 48
#define CTL_LOW ((1ull << CTL_SHIFT) - 1)
#define CTL_SLOTS 1024u /* heads and snapshots that are open at once */
#define CTL_SLOT 0x3fffull
#define CTL_TEXT_MAX (64u << 20) /* bytes of one control file */
#define CTL_VERB_MAX 4096u

enum ctl_kind {
    CTL_DIR,
    CTL_READ,
    CTL_VERB,
    CTL_OWN /* names files, of closed folders too: read by the one who mounted */
};
enum ctl_id {
    CTL_NONE, /* the root of the tree below */
    CTL_TARBOX,
    CTL_LAYERS,
    CTL_STATS,
    CTL_SNAPSHOTS,
    CTL_CURRENT,
    CTL_LIST,
    CTL_TREE,
    CTL_DIFF,
    CTL_NEW,
    CTL_SWITCH,
    CTL_DROP,
    CTL_USAGE,
    CTL_LAST_ERROR,
    CTL_MOUNT,
    CTL_COUNT
};
struct ctl_row {
    enum ctl_id parent;
    enum ctl_kind kind;
    const char *name;
};
extern const struct ctl_row cis_ctl_rows[CTL_COUNT];

struct ctl_slot {
    cis_vfs *vfs;
    struct cis_view view; /* of a snapshot */
    bool head;            /* it is, or was, the working head */
    atomic_uint_fast64_t refs;
};

struct ctl_note {
    enum cis_control_topic topic;
    int64_t wall_ms; /* when it was last */
    unsigned times;
    char text[CIS_ERROR_MSG_MAX];
};

/* Locks, outermost first; house_thread_safety checks it. verb: one verb at a time, never waited
 * for. turn: changes of the head read, a switch writes. state: slots and notes. */
CIS_LOCK_CLASS(ctl_lock_state);
CIS_LOCK_CLASS(ctl_lock_turn, CIS_BEFORE(ctl_lock_state));
CIS_LOCK_CLASS(ctl_lock_verb, CIS_BEFORE(ctl_lock_turn));

struct ctl {
    cis_vfs vfs;
    struct cis_control_options o;
    char *tenant, *ref;
    struct timespec born;
    pthread_mutex_t lock; /* slots, notes */
    /* set once, under the lock, before anybody knows the number: read without it */
    struct ctl_slot *slots[CTL_SLOTS];
    unsigned nslots CIS_GUARDED_BY(ctl_lock_state);
    atomic_uint current;   /* slot of the head */
    pthread_rwlock_t turn; /* changes of the head read, a switch writes */
    atomic_bool sealed;
    pthread_mutex_t verb; /* one verb at a time; never waited for */
    /* oldest first */
    struct ctl_note notes[CIS_CONTROL_NOTES] CIS_GUARDED_BY(ctl_lock_state);
    unsigned nnotes CIS_GUARDED_BY(ctl_lock_state);
};

struct ctl_file {
    cis_vfs_file base;
    cis_vfs_file *below; /* of a tree; NULL: a control file, with id and text */
    const struct ctl_slot *slot;
    enum ctl_id id;
    struct cis_buf text;
};

static inline struct ctl *ctl_of(cis_vfs *vfs)
{
    return (struct ctl *)vfs;
}

static inline cis_node ctl_node(enum ctl_id id)
{
    return CTL_SLOT << CTL_SHIFT | id;
}

static inline bool ctl_is(cis_node node)
{
    return node >> CTL_SHIFT == CTL_SLOT;
}

static inline enum ctl_id ctl_id_of(cis_node node)
{
    return (enum ctl_id)(node & CTL_LOW);
}

/* A node's slot; the root is that of the head as it is now. */
static inline struct ctl_slot *ctl_slot_of(struct ctl *c, cis_node node, cis_node *out_below)
{
    if (node == c->vfs.root) {
        struct ctl_slot *head = c->slots[atomic_load(&c->current)];
        *out_below = head->vfs->root;
        return head;
    }
    *out_below = node & CTL_LOW;
    return c->slots[node >> CTL_SHIFT];
}

static inline bool ctl_is_text(enum ctl_id id)
{
    return cis_ctl_rows[id].kind == CTL_READ || cis_ctl_rows[id].kind == CTL_OWN;
}

/* ---- tree.c: the control files as a tree ---- */
int cis_ctl_tree_lookup(struct ctl *c, const struct cis_vfs_call *call, enum ctl_id dir,
                        struct cis_str name, cis_node *out_node, struct cis_vfs_attr *out_attr);
void cis_ctl_tree_attr(const struct ctl *c, enum ctl_id id, struct cis_vfs_attr *out);
int cis_ctl_tree_open(struct ctl *c, enum ctl_id id, int flags, cis_vfs_file **out_file);
int cis_ctl_tree_readdir(struct ctl_file *file, uint64_t cookie, bool attributes,
                         cis_vfs_entry_each *each, void *self);

/* ---- file.c: open files ---- */
/* Takes the file of a tree. */
int cis_ctl_file_out(struct ctl *c, struct ctl_slot *slot, cis_node node, int flags,
                     cis_vfs_file *below, cis_vfs_file **out_file);
void cis_ctl_op_release(cis_vfs_file *base);
int cis_ctl_op_read(cis_vfs_file *base, const struct cis_vfs_call *call, const struct iovec *iov,
                    int niov, uint64_t offset, size_t *out_n);
int cis_ctl_op_write(cis_vfs_file *base, const struct cis_vfs_call *call, const struct iovec *iov,
                     int niov, uint64_t offset, size_t *out_n, uint64_t *out_end);
int cis_ctl_op_sync(cis_vfs_file *base, const struct cis_vfs_call *call, bool data_only);
int cis_ctl_op_allocate(cis_vfs_file *base, const struct cis_vfs_call *call, int mode,
                        uint64_t offset, uint64_t len);
int cis_ctl_op_seek(cis_vfs_file *base, const struct cis_vfs_call *call, uint64_t offset,
                    int whence, uint64_t *out_offset);
int cis_ctl_op_readdir(cis_vfs_file *base, const struct cis_vfs_call *call, uint64_t cookie,
                       bool attributes, cis_vfs_entry_each *each, void *self);

/* ---- slot.c: trees that are open ---- */
/* The slot of a snapshot's tree, with one reference. */
cis_code cis_ctl_slot_snapshot(struct ctl *c, struct cis_view view, unsigned *out_slot,
                               struct cis_error *err);
/* Another head: the caller holds turn for writing. Owns vfs afterwards. */
cis_code cis_ctl_slot_head(struct ctl *c, cis_vfs *vfs, struct cis_error *err);
/* Is the tree of this view in use? */
bool cis_ctl_slot_used(struct ctl *c, struct cis_view view);

/* ---- layers.c: what the files say; verbs.c: what the verbs do ---- */
cis_code cis_ctl_head_flush(struct ctl *c, struct cis_error *err);
cis_code cis_ctl_head_view(struct ctl *c, struct cis_view *out, struct cis_error *err);
cis_code cis_ctl_text(struct ctl *c, enum ctl_id id, struct cis_buf *out, struct cis_error *err);
/* notes.c: the text of last_error. */
void cis_ctl_notes_text(struct ctl *c, struct cis_buf *out);
/* 0 or an errno; the message is in last_error. */
int cis_ctl_verb(struct ctl *c, enum ctl_id id, struct cis_str text);
/* The snapshot of a name (exact) or an id; each gets a borrowed row. */
struct ctl_snapshot {
    bool found;
    char name[CIS_FS_REF_MAX + 1];
    struct cis_view view;
};
cis_code cis_ctl_snapshot_find(struct ctl *c, struct cis_str name, struct ctl_snapshot *out,
                               struct cis_error *err);
int cis_ctl_errno(cis_code code);

#endif
