/* Locks by class, for clang to check how they are used (test house_thread_safety).
 *
 * A class stands for one lock field of one struct: the `committing` of every view is
 * lay_lock_committing. CIS_LOCK_CLASS says in which order classes are taken, a field names the
 * class that guards it, a function the classes it must be called with and those it takes. clang
 * then refuses a guarded field touched without its lock, a lock taken twice or still held at a
 * return, and locks taken in the wrong order.
 *
 * It does not tell two locks of one class apart, it does not look through function pointers, and a
 * function without CIS_TAKES is one that takes no lock as far as its callers are concerned.
 *
 * Every build that makes code leaves CIS_THREAD_SAFETY undefined: the annotations are empty then,
 * and the calls are those of pthread. */
#ifndef CIS_BASE_LOCK_H
#define CIS_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

#ifdef CIS_THREAD_SAFETY
#define CIS_LOCK_ATTR(x) __attribute__((x))
#else
#define CIS_LOCK_ATTR(x)
#endif

/* CIS_LOCK_CLASS(inner); CIS_LOCK_CLASS(outer, CIS_BEFORE(inner)); innermost first. The name is for
 * the annotations alone and is never defined. */
#define CIS_LOCK_CLASS(name, ...) extern struct cis_lock_class name __VA_ARGS__
#define CIS_BEFORE(...) CIS_LOCK_ATTR(acquired_before(__VA_ARGS__))

/* Of a field: read with the lock held, written with it held alone. */
#define CIS_GUARDED_BY(class) CIS_LOCK_ATTR(guarded_by(class))

/* Of a function, behind its parameters: called with these held (SHARED: at least for reading); it
 * returns with them held, or no longer held; it takes them, so a caller must not hold one. */
#define CIS_REQUIRES(...) CIS_LOCK_ATTR(requires_capability(__VA_ARGS__))
#define CIS_REQUIRES_SHARED(...) CIS_LOCK_ATTR(requires_shared_capability(__VA_ARGS__))
#define CIS_ACQUIRES(...) CIS_LOCK_ATTR(acquire_capability(__VA_ARGS__))
#define CIS_ACQUIRES_SHARED(...) CIS_LOCK_ATTR(acquire_shared_capability(__VA_ARGS__))
#define CIS_RELEASES(...) CIS_LOCK_ATTR(release_generic_capability(__VA_ARGS__))
#define CIS_TAKES(...) CIS_LOCK_ATTR(locks_excluded(__VA_ARGS__))
/* Of a function that answers true when it has taken it. */
#define CIS_TRIES(class) CIS_LOCK_ATTR(try_acquire_capability(true, class))
/* Of a function whose locking clang cannot follow (a loop over an array of locks): its annotations
 * are believed, its body is not looked at. Say why beside it. */
#define CIS_LOCK_UNCHECKED CIS_LOCK_ATTR(no_thread_safety_analysis)

#ifdef CIS_THREAD_SAFETY
struct CIS_LOCK_ATTR(capability("lock")) cis_lock_class {
    char unused;
};
void cis_checked_lock(pthread_mutex_t *m, struct cis_lock_class *class) CIS_ACQUIRES(*class);
void cis_checked_unlock(pthread_mutex_t *m, struct cis_lock_class *class) CIS_RELEASES(*class);
bool cis_checked_trylock(pthread_mutex_t *m, struct cis_lock_class *class)
    CIS_LOCK_ATTR(try_acquire_capability(true, *class));
void cis_checked_read(pthread_rwlock_t *l, struct cis_lock_class *class)
    CIS_ACQUIRES_SHARED(*class);
void cis_checked_write(pthread_rwlock_t *l, struct cis_lock_class *class) CIS_ACQUIRES(*class);
void cis_checked_rwunlock(pthread_rwlock_t *l, struct cis_lock_class *class) CIS_RELEASES(*class);
void cis_checked_alone(struct cis_lock_class *class) CIS_LOCK_ATTR(assert_capability(*class));
#define cis_mutex_lock(m, class) cis_checked_lock(m, &(class))
#define cis_mutex_unlock(m, class) cis_checked_unlock(m, &(class))
#define cis_mutex_trylock(m, class) cis_checked_trylock(m, &(class))
#define cis_rwlock_read(l, class) cis_checked_read(l, &(class))
#define cis_rwlock_write(l, class) cis_checked_write(l, &(class))
#define cis_rwlock_unlock(l, class) cis_checked_rwunlock(l, &(class))
#define cis_lock_alone(class) cis_checked_alone(&(class))
#else
struct cis_lock_class;
#define cis_mutex_lock(m, class) pthread_mutex_lock(m)
#define cis_mutex_unlock(m, class) pthread_mutex_unlock(m)
#define cis_mutex_trylock(m, class) (pthread_mutex_trylock(m) == 0) /* true: it is held now */
#define cis_rwlock_read(l, class) pthread_rwlock_rdlock(l)
#define cis_rwlock_write(l, class) pthread_rwlock_wrlock(l)
#define cis_rwlock_unlock(l, class) pthread_rwlock_unlock(l)
/* From here on no other thread has the object: as good as held. */
#define cis_lock_alone(class) ((void)0)
#endif

#endif
