/* The only door to malloc: rooms allocate through these so that tests can make the n-th allocation
 * fail (cis_mem_fail_after) and count what is live. Library code never aborts: NULL is an answer.
 */
#ifndef CIS_BASE_MEM_H
#define CIS_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

/* More than this (a TiB) is no size but a mistake or an attack: NULL. */
#define CIS_MEM_MAX (SIZE_MAX >> 24)

/* Sizes that are computed come from these: what does not fit becomes SIZE_MAX, which is above
 * CIS_MEM_MAX, so no allocation answers a sum or product that wrapped. tools/check_source.py sees
 * to it that nothing else computes what is allocated. */
static inline size_t cis_size_add(size_t a, size_t b)
{
    size_t sum;
    return __builtin_add_overflow(a, b, &sum) ? SIZE_MAX : sum;
}

static inline size_t cis_size_mul(size_t a, size_t b)
{
    size_t product;
    return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}

/* The next capacity of a growing array: first, then twice what it is, at last most; SIZE_MAX when
 * it is most already. */
static inline size_t cis_cap_next(size_t cap, size_t first, size_t most)
{
    size_t next = cap != 0 ? cis_size_mul(cap, 2) : first;
    return cap >= most ? SIZE_MAX : next < most ? next : most;
}

void *cis_alloc(size_t size) __attribute__((malloc, alloc_size(1)));
void *cis_zalloc(size_t size) __attribute__((malloc, alloc_size(1)));
/* Array of n elements, overflow checked, zeroed. */
void *cis_calloc(size_t n, size_t size) __attribute__((malloc, alloc_size(1, 2)));
void *cis_realloc(void *ptr, size_t size) __attribute__((alloc_size(2)));
/* Array of n elements, overflow checked; what is new is not zeroed. */
void *cis_realloc_array(void *ptr, size_t n, size_t size) __attribute__((alloc_size(2, 3)));
void cis_free(void *ptr);
char *cis_strdup(const char *text);
char *cis_strndup(const char *text, size_t len);
/* Cleanup helper: CIS_CLEANUP(cis_freep) char *p = NULL; */
void cis_freep(void *ptr_to_ptr);

/* Tests: the allocation after n more fails, once; SIZE_MAX switches it off. Per thread. */
void cis_mem_fail_after(size_t n);

/* Gives a variable's pointer away and leaves NULL behind. */
#define cis_take(pp)                                                                               \
    __extension__({                                                                                \
        __typeof__(pp) take_pp_ = (pp);                                                            \
        __typeof__(*take_pp_) take_v_ = *take_pp_;                                                 \
        *take_pp_ = NULL;                                                                          \
        take_v_;                                                                                   \
    })

#endif
