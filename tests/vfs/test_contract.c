#include "vfs/backend_layered.h"

int main(void)
{
    umask(022);
    stores_start();
    int failed = contract_run(&CONTRACT_BACKEND);
    stores_stop();
    return failed;
}
