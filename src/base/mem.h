/* The only door to malloc: rooms allocate through these so that tests can make the n-th allocation
 * fail (cis_mem_fail_after) and count what is live. Library code never aborts: NULL is an answer.
 */
#ifndef CIS_BASE_MEM_H
#define CIS_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

void *cis_alloc(size_t size) __attribute__((malloc, alloc_size(1)));
void *cis_zalloc(size_t size) __attribute__((malloc, alloc_size(1)));
/* Array of n elements, overflow checked, zeroed. */
void *cis_calloc(size_t n, size_t size) __attribute__((malloc, alloc_size(1, 2)));
void *cis_realloc(void *ptr, size_t size) __attribute__((alloc_size(2)));
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
