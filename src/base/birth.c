#include "base/birth.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u

cis_code cis_birth_open(struct cis_birth *birth, struct cis_error *err)
{
    unsigned char *page =
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return cis_fail_sys(err, CIS_E_NOMEM, errno, "cannot allocate a page of memory");
    }
    *birth = (struct cis_birth){.page = page, .pid = getpid()};
    /* The kernel empties the page in each child: no system call to ask who we are. */
    if (madvise(page, PAGE, MADV_WIPEONFORK) != 0) { /* before Linux 4.14 */
        munmap(page, PAGE);
        birth->page = NULL;
        return CIS_OK;
    }
    *page = 1;
    return CIS_OK;
}

bool cis_birth_here(const struct cis_birth *birth)
{
    return birth->page != NULL ? *birth->page != 0 : birth->pid == getpid();
}

void cis_birth_close(struct cis_birth *birth)
{
    if (birth->page != NULL) {
        munmap((void *)(uintptr_t)birth->page, PAGE);
    }
    *birth = (struct cis_birth){.page = NULL, .pid = 0};
}
