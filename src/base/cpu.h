/* What the processor can do, asked once before main and only read afterwards: in a virtual machine
 * every question is a trip to its host, and the compiler's own (__builtin_cpu_supports) asks a
 * dozen at each start. Any thread. */
#ifndef CIS_BASE_CPU_H
#define CIS_BASE_CPU_H

#include <stdbool.h>

bool cis_cpu_has_crc32c(void); /* SSE 4.2 */
bool cis_cpu_has_sha256(void); /* SHA, SSE 4.1 */

#endif
