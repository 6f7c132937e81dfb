/* In every test program. cmocka takes SIGSEGV, SIGILL and SIGFPE for itself in every test, but
 * guests trap through them and the engine sets its handlers only once. So its calls of signal() end
 * here and change nothing: a crash in a test is then a crash of the program, with a core or the
 * sanitizer's report. Strong, because clang's sanitizer brings a weak one of its own. */
#include <signal.h>

__attribute__((visibility("default"))) __sighandler_t signal(int number, __sighandler_t handler)
{
    (void)number;
    (void)handler;
    return SIG_DFL;
}
