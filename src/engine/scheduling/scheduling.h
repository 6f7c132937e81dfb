/* Scheduling: who may execute, and when. This room owns
 *   - the CPU slots and the order in which tenants get them          (slots.h, account.h)
 *   - the places in instance pools                                  (pool.h)
 *   - the thread that ticks each millisecond while a guest runs     (ticker.h)
 *   - how a thread waits, with a deadline and a cancellation         (wait.h)
 * and the locks `slots` and `ticker`, the innermost of the engine. It knows nothing of modules,
 * guests and the WebAssembly engine. Inside the engine only. */
#ifndef CIS_ENGINE_SCHEDULING_H
#define CIS_ENGINE_SCHEDULING_H

#include "engine/scheduling/pool.h"
#include "engine/scheduling/slots.h"
#include "engine/scheduling/ticker.h"
#include "engine/scheduling/wait.h"

#endif
