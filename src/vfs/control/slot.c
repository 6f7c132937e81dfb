#include "base/mem.h"
#include "vfs/control/internal.h"

/* A place for one more tree; snapshots that nobody holds give theirs up. */
static bool place(struct ctl *c, unsigned *out) CIS_REQUIRES(ctl_lock_state)
{
    for (unsigned i = 0; i < c->nslots; i++) {
        struct ctl_slot *s = c->slots[i];
        if (s->vfs == NULL) {
            *out = i;
            return true;
        }
    }
    if (c->nslots == CTL_SLOTS) {
        return false;
    }
    struct ctl_slot *slot = cis_zalloc(sizeof *slot);
    if (slot == NULL) {
        return false;
    }
    *out = c->nslots;
    c->slots[c->nslots++] = slot;
    return true;
}

/* Trees of snapshots that nobody holds any more, but for the few that may be looked at again. */
static void evict(struct ctl *c) CIS_REQUIRES(ctl_lock_state)
{
    const unsigned keep = 8;
    unsigned idle = 0;
    for (unsigned i = c->nslots; i > 0;) {
        i--;
        struct ctl_slot *s = c->slots[i];
        if (s->vfs != NULL && !s->head && atomic_load(&s->refs) == 0 && ++idle > keep) {
            cis_vfs_close(s->vfs);
            s->vfs = NULL;
        }
    }
}

static bool take_open(struct ctl *c, struct cis_view view, unsigned *out_slot)
    CIS_REQUIRES(ctl_lock_state)
{
    for (unsigned i = 0; i < c->nslots; i++) {
        struct ctl_slot *s = c->slots[i];
        if (s->vfs != NULL && !s->head && s->view.branch == view.branch &&
            s->view.epoch == view.epoch) {
            atomic_fetch_add(&s->refs, 1);
            *out_slot = i;
            return true;
        }
    }
    return false;
}

cis_code cis_ctl_slot_snapshot(struct ctl *c, struct cis_view view, unsigned *out_slot,
                               struct cis_error *err)
{
    cis_mutex_lock(&c->lock, ctl_lock_state);
    bool open = take_open(c, view, out_slot);
    cis_mutex_unlock(&c->lock, ctl_lock_state);
    if (open) {
        return CIS_OK;
    }
    cis_vfs *vfs = NULL; /* opened without the lock: two may, and one is given back */
    CIS_TRY(c->o.open(c->o.self, view, false, &vfs, err));
    cis_code code = CIS_OK;
    unsigned at = 0;
    cis_mutex_lock(&c->lock, ctl_lock_state);
    if (!take_open(c, view, out_slot)) {
        evict(c);
        if (place(c, &at)) {
            struct ctl_slot *s = c->slots[at];
            s->vfs = vfs;
            s->view = view;
            s->head = false;
            atomic_store(&s->refs, 1);
            vfs = NULL;
            *out_slot = at;
        } else {
            code = cis_fail(err, CIS_E_LIMIT,
                            "snapshots: %u trees are open, which is the maximum; try again later",
                            c->nslots);
        }
    }
    cis_mutex_unlock(&c->lock, ctl_lock_state);
    cis_vfs_close(vfs);
    return code;
}

cis_code cis_ctl_slot_head(struct ctl *c, cis_vfs *vfs, struct cis_error *err)
{
    unsigned at = 0;
    cis_mutex_lock(&c->lock, ctl_lock_state);
    evict(c);
    bool there = place(c, &at);
    if (there) {
        struct ctl_slot *s = c->slots[at];
        s->vfs = vfs;
        s->head = true;
        atomic_store(&s->refs, 0);
        atomic_store(&c->current, at);
    }
    unsigned open = c->nslots;
    cis_mutex_unlock(&c->lock, ctl_lock_state);
    return there ? CIS_OK
                 : cis_fail(
                       err, CIS_E_LIMIT,
                       "layers: %u trees are open, which is the maximum; unmount, then mount again",
                       open);
}

bool cis_ctl_slot_used(struct ctl *c, struct cis_view view)
{
    bool used = false;
    cis_mutex_lock(&c->lock, ctl_lock_state);
    for (unsigned i = 0; i < c->nslots; i++) {
        const struct ctl_slot *s = c->slots[i];
        used |= s->vfs != NULL && !s->head && s->view.branch == view.branch &&
                s->view.epoch == view.epoch && atomic_load(&s->refs) != 0;
    }
    cis_mutex_unlock(&c->lock, ctl_lock_state);
    return used;
}
