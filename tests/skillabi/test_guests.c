#include "skillabi/fixture.h"
int guest_tests(void)
{
    return 0;
}
