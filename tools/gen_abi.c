/* Prints docs/abi.md from the tables of host functions: gen_abi > docs/abi.md */
#include <stdio.h>
#include "skillabi/skillabi.h"

int main(void)
{
    struct cis_buf page = CIS_BUF_INIT(1u << 20);
    struct cis_error err;
    cis_skillabi_docs(&page);
    if (cis_buf_check(&page, "abi.md", &err) != CIS_OK) {
        fprintf(stderr, "gen_abi: %s\n", err.msg);
        return 1;
    }
    fwrite(page.ptr, 1, page.len, stdout);
    cis_buf_done(&page);
    return fflush(stdout) != 0;
}
