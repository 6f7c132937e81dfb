/* For programs without a store. */
#include "vfs/backend_layered.h"

void stores_start(void)
{
}

void stores_stop(void)
{
}
