#include "vfs/backends.h"

int main(void)
{
    umask(022);
    return contract_run(&backend_union);
}
