#include "engine/scheduling/account.h"

#include "base/mem.h"

#define TENANTS_SWEEP 256u /* accounts kept before idle ones are looked for */

void cis_accounts_init(struct cis_accounts *accounts)
{
    accounts->sweep_at = TENANTS_SWEEP;
}

void cis_accounts_done(struct cis_accounts *accounts)
{
    cis_map_done(&accounts->tenants, cis_free);
    cis_free(accounts->heap);
}

/* ---- the heap ---- */

static void put(struct cis_accounts *a, size_t i, struct cis_account *t)
{
    a->heap[i] = t;
    t->place = i;
}

static void up(struct cis_accounts *a, size_t i)
{
    struct cis_account *t = a->heap[i];
    while (i > 0 && a->heap[(i - 1) / 2]->vtime > t->vtime) {
        put(a, i, a->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(a, i, t);
}

static void down(struct cis_accounts *a, size_t i)
{
    struct cis_account *t = a->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= a->nheap) {
            break;
        }
        if (child + 1 < a->nheap && a->heap[child + 1]->vtime < a->heap[child]->vtime) {
            child++;
        }
        if (a->heap[child]->vtime >= t->vtime) {
            break;
        }
        put(a, i, a->heap[child]);
        i = child;
    }
    put(a, i, t);
}

void cis_account_waits(struct cis_accounts *accounts, struct cis_account *t)
{
    put(accounts, accounts->nheap, t);
    up(accounts, accounts->nheap++);
}

void cis_account_rests(struct cis_accounts *accounts, struct cis_account *t)
{
    size_t i = t->place;
    struct cis_account *last = accounts->heap[--accounts->nheap];
    if (last != t) {
        put(accounts, i, last);
        up(accounts, i);
        down(accounts, last->place);
    }
}

struct cis_account *cis_account_first(const struct cis_accounts *accounts)
{
    return accounts->nheap != 0 ? accounts->heap[0] : NULL;
}

/* ---- accounts ---- */

/* Idle accounts without a debt say nothing that a new account would not: a fresh map without them
 * (a removed key would stay in the old one). Out of memory: the old one serves on. */
static void forget_idle(struct cis_accounts *a)
{
    struct cis_map kept = CIS_MAP_INIT;
    cis_map_foreach (&a->tenants, e) {
        struct cis_account *t = e->value;
        if ((atomic_load(&t->refs) != 0 || t->vtime > a->clock) &&
            cis_map_set(&kept, e->key, t, NULL, NULL) != CIS_OK) {
            cis_map_done(&kept, NULL);
            return;
        }
    }
    cis_map_foreach (&a->tenants, e) {
        if (cis_map_get(&kept, e->key) == NULL) {
            cis_free(e->value);
        }
    }
    cis_map_done(&a->tenants, NULL);
    a->tenants = kept;
    a->sweep_at = kept.live * 2 > TENANTS_SWEEP ? kept.live * 2 : TENANTS_SWEEP;
}

static struct cis_account *add(struct cis_accounts *a, struct cis_str name)
{
    if (a->tenants.live >= a->sweep_at) {
        forget_idle(a);
    }
    if (a->tenants.live >= a->heap_cap) {
        size_t cap = cis_cap_next(a->heap_cap, 16, CIS_MEM_MAX);
        struct cis_account **heap = cis_realloc_array(a->heap, cap, sizeof(struct cis_account *));
        if (heap == NULL) {
            return NULL;
        }
        a->heap = heap;
        a->heap_cap = cap;
    }
    struct cis_account *t = cis_zalloc(sizeof *t);
    if (t == NULL || cis_map_set(&a->tenants, name, t, NULL, NULL) != CIS_OK) {
        cis_free(t);
        return NULL;
    }
    t->weight = 1;
    t->vtime = a->clock;
    return t;
}

struct cis_account *cis_account_get(struct cis_accounts *accounts, const char *name,
                                    uint32_t weight)
{
    struct cis_str key = cis_str_of(name != NULL ? name : "default");
    struct cis_account *t = cis_map_get(&accounts->tenants, key);
    if (t == NULL) {
        t = add(accounts, key);
    }
    if (t != NULL) {
        atomic_fetch_add(&t->refs, 1);
        if (weight != 0) {
            t->weight = weight < CIS_SLOTS_WEIGHT_MAX ? weight : CIS_SLOTS_WEIGHT_MAX;
        }
    }
    return t;
}

void cis_account_charge(struct cis_accounts *accounts, struct cis_account *t, uint64_t ns)
{
    t->vtime += ns / t->weight;
    if (t->waiters.head != NULL) {
        down(accounts, t->place);
    }
}

void cis_account_granted(struct cis_accounts *accounts, const struct cis_account *t)
{
    if (t->vtime > accounts->clock) {
        accounts->clock = t->vtime;
    }
}

void cis_account_arrives(struct cis_accounts *accounts, struct cis_account *t)
{
    if (t->waiters.head == NULL && t->vtime < accounts->clock) {
        t->vtime = accounts->clock;
    }
}
