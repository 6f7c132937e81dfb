/* The compiler's child process for tests of this room, which come before the cis program. */
#include <string.h>
#include "engine/code/engine.h"

int main(int argc, char **argv)
{
    return argc == 2 && strcmp(argv[1], "__compile") == 0 ? cis_engine_compile_child() : 2;
}
