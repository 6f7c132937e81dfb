/* The native stack under a guest: named by whoever made one, measured before each call. */
#ifndef CIS_ENGINE_STACK_H
#define CIS_ENGINE_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

/* Names the stack that this thread is on when it is not the one it was made with (a coroutine's):
 * low, its lowest address, and its size. It counts while calls come from within; NULL takes it
 * back. On a stack that nobody named, and where less than 768 KiB are left, a guest runs on a stack
 * of the engine's own, on the same thread. */
void cis_stack_name(const void *low, size_t size);

/* ---- inside the engine ---- */

/* Addresses of a native stack: low itself is not used, high is behind it. */
struct cis_stack {
    uintptr_t low, high;
};

/* Runs fn(arg) here if the native stack has room for a guest, else on a stack of our own,
 * on this thread. stack: where it runs; nested calls of a guest get what its outermost one was
 * told, and fail with CIS_E_TRAP on another stack, or when too little is left. CIS_E_NOMEM when no
 * stack can be had. */
cis_code cis_stack_run(struct cis_stack *stack, bool nested, void (*fn)(void *arg), void *arg,
                       struct cis_error *err);

#endif
