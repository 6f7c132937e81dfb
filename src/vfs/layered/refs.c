/* References on nodes. Each stripe counts what its threads took and gave back; one stripe's count
 * may be negative, the sum over all of them is exact. Pairs that cancel out between stripes are
 * tidied up when a table has doubled since the last time. */
#include "vfs/layered/view.h"
#include "base/wraps.h"

enum { TIDY_MIN = 4096 };

static size_t start(const struct lay_refs *refs, uint64_t ino)
{
    return cis_lay_mix(ino) & (refs->cap - 1);
}

static struct lay_ref *slot_of(const struct lay_refs *refs, uint64_t ino)
{
    size_t i = start(refs, ino);
    while (refs->slots[i].n != 0 && refs->slots[i].ino != ino) {
        i = (i + 1) & (refs->cap - 1);
    }
    return &refs->slots[i];
}

static bool grow(struct lay_refs *refs, size_t more)
{
    if ((refs->count + more) * 4 <= refs->cap * 3) {
        return true;
    }
    struct lay_refs grown = *refs;
    grown.cap = refs->cap != 0 ? refs->cap : 8;
    while ((refs->count + more) * 4 > grown.cap * 3) {
        grown.cap *= 2;
    }
    grown.slots = cis_calloc(grown.cap, sizeof *grown.slots);
    if (grown.slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < refs->cap; i++) {
        if (refs->slots[i].n != 0) {
            *slot_of(&grown, refs->slots[i].ino) = refs->slots[i];
        }
    }
    cis_free(refs->slots);
    *refs = grown;
    return true;
}

CIS_WRAPS static void take_out(struct lay_refs *refs, struct lay_ref *ref)
{
    size_t hole = (size_t)(ref - refs->slots), mask = refs->cap - 1;
    refs->count--;
    for (size_t i = (hole + 1) & mask; refs->slots[i].n != 0; i = (i + 1) & mask) {
        size_t home = start(refs, refs->slots[i].ino);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            refs->slots[hole] = refs->slots[i];
            hole = i;
        }
    }
    refs->slots[hole].n = 0;
}

bool cis_lay_refs_add(struct lay_refs *refs, uint64_t ino, uint64_t dir, int64_t n)
{
    if (n == 0 || !grow(refs, 1)) {
        return n == 0;
    }
    struct lay_ref *ref = slot_of(refs, ino);
    if (ref->n == 0) {
        *ref = (struct lay_ref){ino, dir, n};
        refs->count++;
        return true;
    }
    ref->n += n;
    ref->dir = dir != 0 ? dir : ref->dir;
    if (ref->n == 0) {
        take_out(refs, ref);
    }
    return true;
}

void cis_lay_refs_put(struct lay_view *v, uint64_t ino, int64_t n)
{
    for (size_t i = 0; i < LAY_STRIPES; i++) {
        struct lay_refs *refs = &v->stripes[i].refs;
        struct lay_ref *ref = refs->cap != 0 ? slot_of(refs, ino) : NULL;
        if (ref == NULL || ref->n == 0) {
            continue;
        }
        ref->n += n;
        if (ref->n == 0) {
            take_out(refs, ref);
        }
        return;
    }
}

int64_t cis_lay_refs_sum(const struct lay_view *v, uint64_t ino, uint64_t *out_hint)
{
    int64_t sum = 0;
    for (size_t i = 0; i < LAY_STRIPES; i++) {
        const struct lay_refs *refs = &v->stripes[i].refs;
        if (out_hint != NULL && *out_hint == 0 && v->stripes[i].seen[ino % 32].ino == ino) {
            *out_hint = v->stripes[i].seen[ino % 32].dir;
        }
        if (refs->cap == 0) {
            continue;
        }
        const struct lay_ref *ref = slot_of(refs, ino);
        sum += ref->n;
        if (out_hint != NULL && ref->n != 0 && ref->dir != 0) {
            *out_hint = ref->dir;
        }
    }
    return sum;
}

/* Moves every count to the first stripe, where they add up. */
static void tidy(struct lay_view *v)
{
    struct lay_refs *to = &v->stripes[0].refs;
    for (size_t s = 1; s < LAY_STRIPES; s++) {
        struct lay_refs *from = &v->stripes[s].refs;
        if (from->count == 0 || !grow(to, from->count)) {
            continue;
        }
        for (size_t i = 0; i < from->cap; i++) {
            const struct lay_ref *ref = &from->slots[i];
            (void)cis_lay_refs_add(to, ref->ino, ref->dir, ref->n); /* there is room */
        }
        cis_free(from->slots);
        *from = (struct lay_refs){.tidy_at = TIDY_MIN};
    }
    to->tidy_at = to->count * 2 > TIDY_MIN ? to->count * 2 : TIDY_MIN;
}

bool cis_lay_refs_untidy(const struct lay_refs *refs)
{
    return refs->count > (refs->tidy_at != 0 ? refs->tidy_at : TIDY_MIN);
}

void cis_lay_refs_tidy(struct lay_view *v)
{
    cis_lay_lock_all(v);
    tidy(v);
    cis_lay_unlock_all(v);
}
