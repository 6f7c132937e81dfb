#include "vfs/backends.h"

#include "vfs/layered/backend.h"

int main(void)
{
    umask(022);
    return contract_run(&backend_layered);
}
