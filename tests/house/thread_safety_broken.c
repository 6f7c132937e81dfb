/* Mistakes that house_thread_safety must find. Each line with MUST is one; all other lines are
 * right. Never built. */
#include "base/lock.h"

CIS_LOCK_CLASS(inner);
CIS_LOCK_CLASS(middle, CIS_BEFORE(inner));
CIS_LOCK_CLASS(outer, CIS_BEFORE(middle));

struct thing {
    pthread_mutex_t outer, inner;
    pthread_rwlock_t names;
    int count CIS_GUARDED_BY(outer);
    int shown CIS_GUARDED_BY(inner);
};

static void takes_outer(struct thing *t) CIS_TAKES(outer, middle, inner);
static void takes_outer(struct thing *t)
{
    cis_mutex_lock(&t->outer, outer);
    t->count++;
    cis_mutex_unlock(&t->outer, outer);
}

static int held(const struct thing *t) CIS_REQUIRES(outer)
{
    return t->count;
}

int unlocked_read(const struct thing *t)
{
    return t->count; /* MUST: reading variable 'count' requires holding lock 'outer' */
}

void unlocked_write(struct thing *t)
{
    t->count = 1; /* MUST: writing variable 'count' requires holding lock 'outer' */
}

void wrong_lock(struct thing *t)
{
    cis_mutex_lock(&t->inner, inner);
    t->count = 1; /* MUST: writing variable 'count' requires holding lock 'outer' */
    cis_mutex_unlock(&t->inner, inner);
}

void wrong_order(struct thing *t)
{
    cis_mutex_lock(&t->inner, inner);
    cis_mutex_lock(&t->outer, outer); /* MUST: must be acquired before 'inner' */
    t->count = t->shown;
    cis_mutex_unlock(&t->outer, outer);
    cis_mutex_unlock(&t->inner, inner);
}

void wrong_order_below(struct thing *t)
{
    cis_mutex_lock(&t->inner, inner);
    takes_outer(t); /* MUST: cannot call function 'takes_outer' while lock 'inner' is held */
    cis_mutex_unlock(&t->inner, inner);
}

void twice(struct thing *t)
{
    cis_mutex_lock(&t->outer, outer);
    cis_mutex_lock(&t->outer, outer); /* MUST: acquiring mutex 'outer' that is already held */
    cis_mutex_unlock(&t->outer, outer);
}

int kept(struct thing *t)
{
    cis_mutex_lock(&t->outer, outer);
    return t->count;
} /* MUST: still held at the end of function */

int called_without(const struct thing *t)
{
    return held(t); /* MUST: calling function 'held' requires holding lock 'outer' */
}

void only_read(struct thing *t)
{
    cis_rwlock_read(&t->names, outer);
    t->count++; /* MUST: requires holding lock 'outer' exclusively */
    cis_rwlock_unlock(&t->names, outer);
}

void tried(struct thing *t)
{
    if (cis_mutex_trylock(&t->outer, outer)) {
        t->count++;
        cis_mutex_unlock(&t->outer, outer);
    }
    t->count++; /* MUST: writing variable 'count' requires holding lock 'outer' */
}

struct thing new_one(void)
{
    struct thing t = {0};
    cis_lock_alone(outer);
    t.count = 1;
    return t;
}
