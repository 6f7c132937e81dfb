#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static _Thread_local size_t fail_after = SIZE_MAX;

static int fails(void)
{
    if (__builtin_expect(fail_after == SIZE_MAX, 1)) {
        return 0;
    }
    if (fail_after == 0) {
        fail_after = SIZE_MAX;
        return 1;
    }
    fail_after--;
    return 0;
}

void cis_mem_fail_after(size_t n)
{
    fail_after = n;
}

static int refused(size_t size)
{
    return size > CIS_MEM_MAX || fails();
}

void *cis_alloc(size_t size)
{
    return refused(size) ? NULL : malloc(size != 0 ? size : 1);
}

void *cis_zalloc(size_t size)
{
    return refused(size) ? NULL : calloc(1, size != 0 ? size : 1);
}

void *cis_calloc(size_t n, size_t size)
{
    return cis_zalloc(cis_size_mul(n, size));
}

void *cis_realloc(void *ptr, size_t size)
{
    return refused(size) ? NULL : realloc(ptr, size != 0 ? size : 1);
}

void *cis_realloc_array(void *ptr, size_t n, size_t size)
{
    return cis_realloc(ptr, cis_size_mul(n, size));
}

void cis_free(void *ptr)
{
    free(ptr);
}

char *cis_strndup(const char *text, size_t len)
{
    char *copy = cis_alloc(cis_size_add(len, 1));
    if (copy != NULL) {
        if (len != 0) { /* an empty text may have no address */
            memcpy(copy, text, len);
        }
        copy[len] = 0;
    }
    return copy;
}

char *cis_strdup(const char *text)
{
    return cis_strndup(text, strlen(text));
}

void cis_freep(void *ptr_to_ptr)
{
    void *ptr;
    memcpy(&ptr, ptr_to_ptr, sizeof ptr);
    free(ptr);
}
