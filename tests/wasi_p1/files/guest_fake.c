#include "wasi_p1/files/files.h"

#include "fake_guest.h"

#define MEMORY 65536u

static cis_engine_instance guest;

void guest_program_start(void)
{
}

void guest_program_stop(void)
{
}

void guest_begin(struct cis_host *host)
{
    fake_guest_init(&guest, host, MEMORY);
    memset(guest.memory, 0xAA, MEMORY);
    FX.memory = MEMORY;
}

void guest_end(void)
{
    fake_guest_done(&guest);
}

cis_engine_instance *guest_now(void)
{
    return &guest;
}

void guest_deadline(uint64_t deadline_ns)
{
    guest.stop.deadline_ns = deadline_ns;
}

cis_code guest_call(const struct cis_hostfn *row, union cis_slot *io, struct cis_error *err)
{
    return row->handler(&guest, io, err);
}

int guest_blocked(void)
{
    assert_int_equal(guest.blocked, guest.unblocked);
    return (int)guest.blocked;
}

uint64_t guest_burned(void)
{
    return guest.burned;
}

void guest_fuel(uint64_t most)
{
    guest.fuel = most;
}

uint64_t guest_wrote(void)
{
    return guest.wrote;
}
