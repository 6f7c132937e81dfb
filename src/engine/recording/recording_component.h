/* Components on recordings, inside this room only. What crosses between a component and its host is
 * known call by call (recording_value.c), so that no memory of the guest is noted. Resources are
 * the host's numbers; a drop is the guest's own doing and is not written down, for a replay has
 * nothing behind them. Only a drop that ended the guest is. */
#ifndef CIS_ENGINE_RECORDING_COMPONENT_H
#define CIS_ENGINE_RECORDING_COMPONENT_H

#include "engine/component/component_in.h"
#include "engine/recording/recording_in.h"

#define CIS_RECORDING_ITEMS_MAX 1048576u
#define CIS_RECORDING_ANSWER_MAX ((size_t)256 << 20)

/* What a result holds and the engine does not tell: made by cis_val_set_own in this call. */
struct cis_recording_own {
    const void *any;
    uint32_t kind, rep;
};

/* ---- recording_value.c ---- */
struct cis_recording_bytes {
    struct cis_bytes bytes;
    size_t at;
    size_t owed; /* items that the lists around still have to have, a byte each at least */
};
void cis_recording_val_put(const cis_recording *recording, const cis_val *val, struct cis_buf *out);
/* CIS_E_DAMAGED, CIS_E_NOMEM, CIS_E_BUDGET. */
cis_code cis_recording_val_get(cis_engine_instance *instance, struct cis_recording_bytes *in,
                               cis_val *out, struct cis_error *err);
cis_code cis_recording_typed_text(enum cis_shape shape, const struct cis_typed *arg,
                                  struct cis_buf *list, struct cis_bytes *out,
                                  struct cis_error *err);
void cis_recording_put_answer(cis_recording *recording, enum cis_shape shape,
                              const struct cis_answer *answer);
/* Points into the recording, until the next one. A failure is the recording's. */
void cis_recording_get_answer(cis_recording *recording, enum cis_shape shape,
                              struct cis_answer *out);

/* ---- recording_component.c: hooks of a component that is recorded, and of one that is played ----
 */
cis_code cis_recording_record_typed(cis_engine_instance *instance,
                                    const struct cis_bound_iface *bound,
                                    const struct cis_typed *args, struct cis_answer *out,
                                    cis_typed_perform *perform);
cis_code cis_recording_record_values(cis_engine_instance *instance,
                                     const struct cis_bound_iface *bound, cis_val *args,
                                     size_t nargs, cis_val *result, cis_values_perform *perform);
cis_code cis_recording_record_drop(cis_engine_instance *instance,
                                   const struct cis_iface_resource *resource, uint32_t rep,
                                   cis_drop_perform *perform);
void cis_recording_missing(cis_engine_instance *instance, const struct cis_bound_iface *bound);
void cis_recording_note_own(cis_engine_instance *instance, const void *any, uint32_t kind,
                            uint32_t rep);
cis_code cis_recording_export_called(cis_engine_instance *instance,
                                     const struct cis_export_call *call, struct cis_error *err);
cis_code cis_recording_export_returned(cis_engine_instance *instance,
                                       const struct cis_export_call *call, struct cis_bytes text,
                                       cis_code code, struct cis_error *err);
cis_code cis_recording_play_typed(cis_engine_instance *instance,
                                  const struct cis_bound_iface *bound, const struct cis_typed *args,
                                  struct cis_answer *out, cis_typed_perform *perform);
cis_code cis_recording_play_values(cis_engine_instance *instance,
                                   const struct cis_bound_iface *bound, cis_val *args, size_t nargs,
                                   cis_val *result, cis_values_perform *perform);
cis_code cis_recording_play_drop(cis_engine_instance *instance,
                                 const struct cis_iface_resource *resource, uint32_t rep,
                                 cis_drop_perform *perform);
/* What the recording says of a call of an export that begins here. */
cis_code cis_recording_play_export(cis_engine_instance *instance);

#endif
