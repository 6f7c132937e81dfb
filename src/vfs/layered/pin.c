/* Pins: a view that is not its branch's head, or has become old, is kept by a pin that is renewed
 * whenever the store is asked, and by a thread of the fs cache for views that ask nothing for long.
 * A pin that lapsed is taken again when the state is still there.
 *
 * A view of another tenant's branch has a pin of the publisher's from its beginning, shorter and
 * renewed more often: that is when it learns that the branch is published no more. A pin of that
 * kind that lapsed is not taken again. */
#include "vfs/layered/view.h"

#include <time.h>
#include "base/clock.h"
#include "base/mem.h"
#include "store/calls.h"

#define PIN_TTL_MS (CIS_FS_PIN_HELD | 30u * 60u * 1000u)
#define RENEW_NS (5ull * 60ull * CIS_NS_PER_S)
#define UNPINNED_NS (2ull * 60ull * CIS_NS_PER_S)
#define GUEST_TTL_MS (10u * 60u * 1000u)
#define GUEST_RENEW_NS (30ull * CIS_NS_PER_S)
#define UNPIN_NS (5ull * CIS_NS_PER_S) /* that who closes a view waits for the store */
#define LOCK_NS (50ull * 1000000)      /* between two looks whether who waits is told to end */

int cis_lay_ended(const struct lay_view *v, const struct cis_vfs_call *call)
{
    int rc = atomic_load(&v->ended);
    if (rc == EACCES) {
        return cis_lay_fail(call, rc, "tenant %s: branch %s is no longer published to %s",
                            v->tenant->name, v->ref, v->reader);
    }
    return rc != 0 ? cis_lay_fail(call, rc, "this state of the files is no longer kept") : 0;
}

cis_code cis_lay_guest_enter(struct lay_view *v, struct cis_fs_ref *out,
                             const struct cis_stop *stop, struct cis_error *err)
{
    uint64_t id = 0;
    CIS_TRY(cis_store_publish_check(v->fs_cache->store, v->who,
                                    &(struct cis_fs_publish_query){.ref = cis_str_of(v->ref),
                                                                   .reader = cis_str_of(v->reader),
                                                                   .ttl_ms = GUEST_TTL_MS},
                                    out, &id, stop, err));
    cis_lock_alone(lay_lock_pinning); /* the view is being opened */
    v->pinned_at = out->head;
    atomic_store(&v->pin, id);
    atomic_store(&v->pinned_ns, cis_clock_mono_ns());
    return CIS_OK;
}

/* v->pinning is held while the store is asked, by whoever was first. False: the call was told to
 * end before, and out says how. Unchecked: clang does not know a lock with a time. */
static bool lock_pinning(struct lay_view *v, const struct cis_stop *stop, cis_code *out,
                         struct cis_error *err) CIS_TRIES(lay_lock_pinning) CIS_LOCK_UNCHECKED
{
    *out = CIS_OK;
    if (stop == NULL) {
        cis_mutex_lock(&v->pinning, lay_lock_pinning);
        return true;
    }
    while (!cis_mutex_trylock(&v->pinning, lay_lock_pinning)) {
        *out = cis_stop_check(stop, "pin", err);
        if (*out != CIS_OK) {
            return false;
        }
        uint64_t until = cis_clock_after(cis_clock_mono_ns(), LOCK_NS);
        struct timespec at = {(time_t)(until / CIS_NS_PER_S), (long)(until % CIS_NS_PER_S)};
        if (pthread_mutex_clocklock(&v->pinning, CLOCK_MONOTONIC, &at) == 0) {
            break;
        }
    }
    return true;
}

static cis_code guest_renew(struct lay_view *v, const struct cis_stop *stop, struct cis_error *err)
    CIS_REQUIRES(lay_lock_pinning)
{
    uint64_t id = atomic_load(&v->pin);
    cis_code code =
        cis_store_publish_check(v->fs_cache->store, v->who,
                                &(struct cis_fs_publish_query){.ref = cis_str_of(v->ref),
                                                               .reader = cis_str_of(v->reader),
                                                               .pin = id,
                                                               .ttl_ms = GUEST_TTL_MS},
                                NULL, &id, stop, err);
    if (code == CIS_OK) {
        atomic_store(&v->pinned_ns, cis_clock_mono_ns());
    } else if (code == CIS_E_DENIED || code == CIS_E_NOTFOUND) {
        atomic_store(&v->ended, EACCES);
    } else if (code == CIS_E_EXPIRED) {
        atomic_store(&v->ended, ESTALE);
    }
    return code;
}

static cis_code pin(struct lay_view *v, struct cis_view at, const struct cis_stop *stop,
                    struct cis_error *err) CIS_REQUIRES(lay_lock_pinning)
{
    const struct cis_store_fs_ops *fs = v->fs_cache->store->fs;
    struct cis_str tenant = v->who;
    uint64_t id = atomic_load(&v->pin);
    cis_code code = CIS_E_EXPIRED;
    if (id != 0) {
        code = fs->pin(
            v->fs_cache->store, tenant,
            &(struct cis_fs_pin_request){.view = v->pinned_at, .id = id, .ttl_ms = PIN_TTL_MS}, &id,
            stop, err);
    }
    if (code == CIS_E_EXPIRED) {
        v->pinned_at = id != 0 ? v->pinned_at : at;
        code = fs->pin(v->fs_cache->store, tenant,
                       &(struct cis_fs_pin_request){.view = v->pinned_at, .ttl_ms = PIN_TTL_MS},
                       &id, stop, err);
    }
    if (code == CIS_OK) {
        atomic_store(&v->pin, id);
        atomic_store(&v->pinned_ns, cis_clock_mono_ns());
    } else if (code == CIS_E_EXPIRED || code == CIS_E_NOTFOUND) {
        atomic_store(&v->ended, ESTALE);
    }
    return code;
}

cis_code cis_lay_pin(struct lay_view *v, struct cis_view at, const struct cis_stop *stop,
                     struct cis_error *err)
{
    cis_code code;
    if (!lock_pinning(v, stop, &code, err)) {
        return code;
    }
    code = atomic_load(&v->pin) != 0 ? CIS_OK : pin(v, at, stop, err);
    cis_mutex_unlock(&v->pinning, lay_lock_pinning);
    return code;
}

/* due: only if nobody else did meanwhile. */
static cis_code guest_keep(struct lay_view *v, bool due, const struct cis_stop *stop,
                           struct cis_error *err)
{
    struct cis_vfs_call call = {.stop = stop, .err = err};
    cis_code code;
    if (!lock_pinning(v, stop, &code, err)) {
        return code;
    }
    int rc = cis_lay_ended(v, &call);
    code = rc == 0 ? CIS_OK : rc == EACCES ? CIS_E_DENIED : CIS_E_EXPIRED;
    if (rc == 0 && (!due || cis_clock_mono_ns() - atomic_load(&v->pinned_ns) >= GUEST_RENEW_NS)) {
        code = guest_renew(v, stop, err);
    }
    cis_mutex_unlock(&v->pinning, lay_lock_pinning);
    return code;
}

static int guest_alive(struct lay_view *v, const struct cis_vfs_call *call, uint64_t now)
{
    uint64_t since = atomic_load(&v->pinned_ns);
    int rc = cis_lay_ended(v, call);
    if (rc != 0 || now < since || now - since < GUEST_RENEW_NS) {
        return rc;
    }
    cis_code code = guest_keep(v, true, lay_stop(call), lay_err(call));
    rc = atomic_load(&v->ended);
    return rc != 0 ? rc : cis_lay_errno(code);
}

cis_code cis_layered_renew(cis_vfs *vfs, const struct cis_stop *stop, struct cis_error *err)
{
    struct lay_view *v = lay_of(vfs);
    return v->reader[0] != 0 ? guest_keep(v, false, stop, err) : CIS_OK;
}

int cis_lay_alive(struct lay_view *v, const struct cis_vfs_call *call)
{
    uint64_t now = cis_clock_mono_ns();
    if (v->reader[0] != 0) {
        return guest_alive(v, call, now);
    }
    bool pinned = atomic_load(&v->pin) != 0;
    uint64_t since = pinned ? atomic_load(&v->pinned_ns) : atomic_load(&v->opened_ns);
    if (now < since || now - since < (pinned ? RENEW_NS : UNPINNED_NS)) {
        return 0;
    }
    struct cis_view at = cis_layered_view(&v->vfs);
    struct cis_error why = {0};
    cis_code code;
    if (lock_pinning(v, lay_stop(call), &code, &why)) {
        code = pin(v, at, lay_stop(call), &why);
        cis_mutex_unlock(&v->pinning, lay_lock_pinning);
    }
    return cis_lay_errno_of(call, code, &why);
}

/* A pin that is needed no more. Who closes a view waits for a store that does not answer once; the
 * others leave it to the keeper, as long as it has not got through. */
struct lay_loose {
    struct lay_loose *next;
    struct cis_str who; /* of the fs cache's tenant */
    struct lay_pin pin;
};

/* False: the store could not be told. What it refuses is known to it. */
static bool tell_loose(cis_fs_cache *f, const struct lay_loose *loose, const struct cis_stop *stop)
{
    uint64_t id = loose->pin.id;
    cis_code code = cis_store_pin(f->store, loose->who,
                                  &(struct cis_fs_pin_request){.view = loose->pin.at, .id = id},
                                  &id, stop, NULL);
    return code != CIS_E_STORE && code != CIS_E_IO && code != CIS_E_DEADLINE &&
           code != CIS_E_CANCELLED;
}

static void unpin(struct lay_view *v, struct lay_pin pin)
{
    cis_fs_cache *f = v->fs_cache;
    struct cis_stop stop = {cis_clock_after(cis_clock_mono_ns(), UNPIN_NS), NULL};
    struct lay_loose loose = {.who = v->who, .pin = pin};
    cis_mutex_lock(&f->lock, lay_lock_fs_cache);
    bool waits = f->loose != NULL;
    cis_mutex_unlock(&f->lock, lay_lock_fs_cache);
    if (pin.id == 0 || (!waits && tell_loose(f, &loose, &stop))) {
        return;
    }
    struct lay_loose *later = cis_alloc(sizeof *later);
    if (later == NULL) {
        return; /* it goes by its time, when this process has ended */
    }
    cis_mutex_lock(&f->lock, lay_lock_fs_cache);
    loose.next = f->loose;
    *later = loose;
    f->loose = later;
    cis_mutex_unlock(&f->lock, lay_lock_fs_cache);
}

void cis_lay_unpin(struct lay_view *v)
{
    cis_lock_alone(lay_lock_pinning); /* the view is being closed */
    unpin(v, (struct lay_pin){atomic_exchange(&v->pin, 0), v->pinned_at});
}

struct lay_pin cis_lay_unpin_idle(struct lay_view *v)
{
    struct lay_pin idle = {0};
    cis_lay_lock_all(v);
    bool needed = !v->head || v->ngone != 0 || v->nodes.count != 0;
    cis_lay_unlock_all(v);
    cis_mutex_lock(&v->pinning, lay_lock_pinning);
    if (!needed) {
        idle = (struct lay_pin){atomic_exchange(&v->pin, 0), v->pinned_at};
    }
    cis_mutex_unlock(&v->pinning, lay_lock_pinning);
    return idle;
}

void cis_lay_unpin_end(struct lay_view *v, struct lay_pin idle)
{
    unpin(v, idle);
}

/* ---- the keeper ---- */
#define KEEP_S 30
#define ASK_NS (10ull * CIS_NS_PER_S) /* of one pin */

/* The two let go of the fs cache's lock while the store is asked. */
static struct cis_stop ask_begin(cis_fs_cache *f) CIS_RELEASES(lay_lock_fs_cache)
{
    struct cis_error ignored;
    cis_cancel *cancel = NULL; /* without memory for one the time alone ends it */
    (void)!cis_cancel_new(&cancel, &ignored);
    f->looking = cancel;
    cis_mutex_unlock(&f->lock, lay_lock_fs_cache);
    return (struct cis_stop){cis_clock_after(cis_clock_mono_ns(), ASK_NS), cancel};
}

static void ask_end(cis_fs_cache *f) CIS_ACQUIRES(lay_lock_fs_cache)
{
    cis_mutex_lock(&f->lock, lay_lock_fs_cache);
    cis_cancel_unref(cis_take(&f->looking));
}

/* Only this takes one off the list, and it stays there while it is told, so that nobody else waits
 * for the store meanwhile. */
static void tell_all_loose(cis_fs_cache *f) CIS_REQUIRES(lay_lock_fs_cache)
{
    for (bool told = true; told && f->loose != NULL && !f->ending;) {
        struct lay_loose *one = f->loose, **at = &f->loose;
        struct cis_stop stop = ask_begin(f);
        told = tell_loose(f, one, &stop);
        ask_end(f);
        if (told) {
            while (*at != one) {
                at = &(*at)->next;
            }
            *at = one->next;
            cis_free(one);
        }
    }
}

static void *keeper(void *arg)
{
    cis_fs_cache *f = arg;
    cis_mutex_lock(&f->lock, lay_lock_fs_cache);
    while (!f->ending) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += KEEP_S;
        (void)pthread_cond_timedwait(&f->keep, &f->lock, &until);
        for (struct lay_view *v = f->views; v != NULL && !f->ending; v = v->next) {
            v->kept = true; /* stays in the list until then */
            struct cis_stop stop = ask_begin(f);
            (void)cis_lay_alive(v, &(struct cis_vfs_call){.stop = &stop});
            ask_end(f);
            v->kept = false;
            pthread_cond_broadcast(&f->kept);
        }
        tell_all_loose(f);
    }
    cis_mutex_unlock(&f->lock, lay_lock_fs_cache);
    return NULL;
}

void cis_lay_keeper_start(cis_fs_cache *fs_cache)
{
    if (!fs_cache->keeping) { /* without it pins are renewed by those who ask */
        fs_cache->keeping = pthread_create(&fs_cache->keeper, NULL, keeper, fs_cache) == 0;
    }
}

void cis_lay_keeper_leave(struct lay_view *v)
{
    cis_fs_cache *f = v->fs_cache;
    while (v->kept) {
        cis_cancel_fire(f->looking);
        pthread_cond_wait(&f->kept, &f->lock);
    }
}

void cis_lay_keeper_end(cis_fs_cache *fs_cache)
{
    cis_mutex_lock(&fs_cache->lock, lay_lock_fs_cache);
    fs_cache->ending = true;
    cis_cancel_fire(fs_cache->looking);
    pthread_cond_broadcast(&fs_cache->keep);
    bool keeping = fs_cache->keeping;
    cis_mutex_unlock(&fs_cache->lock, lay_lock_fs_cache);
    if (keeping) {
        pthread_join(fs_cache->keeper, NULL);
    }
    cis_lock_alone(lay_lock_fs_cache); /* nobody has a view any more */
    for (struct lay_loose *l = fs_cache->loose, *next; l != NULL; l = next) {
        next = l->next;
        cis_free(l);
    }
}
