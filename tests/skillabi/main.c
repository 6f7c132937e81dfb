/* The suite of skillabi/: one engine for all groups, and at the end the question whether every row
 * of every table was called. */
#include "skillabi/fixture.h"

int main(void)
{
    int failed = table_tests() + packed_tests() + buffer_tests() + direct_tests() + sdk_tests() +
                 plain_tests() + io_tests() + resolve_tests() + entry_tests() + call_tests() +
                 guest_tests() + component_tests() + coverage_tests();
    abi_engine_close();
    return failed != 0 ? 1 : 0;
}
