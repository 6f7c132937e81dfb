/* Open addressing with linear probing; removal shifts back, so there are no marks of the dead. */
#include "vfs/layered/view.h"
#include "base/wraps.h"

void cis_lay_table_done(struct lay_table *table)
{
    cis_free(table->slots);
    *table = (struct lay_table){NULL, 0, 0};
}

static size_t start(const struct lay_table *table, uint64_t key)
{
    return cis_lay_mix(key) & (table->cap - 1);
}

static struct lay_slot *slot_of(const struct lay_table *table, uint64_t key)
{
    size_t i = start(table, key);
    while (table->slots[i].value != NULL && table->slots[i].key != key) {
        i = (i + 1) & (table->cap - 1);
    }
    return &table->slots[i];
}

void *cis_lay_table_get(const struct lay_table *table, uint64_t key)
{
    return table->count == 0 ? NULL : slot_of(table, key)->value;
}

bool cis_lay_table_ready(struct lay_table *table)
{
    if ((table->count + 1) * 4 <= table->cap * 3) {
        return true;
    }
    struct lay_table grown = {NULL, table->cap != 0 ? table->cap * 2 : 4, table->count};
    grown.slots = cis_calloc(grown.cap, sizeof *grown.slots);
    if (grown.slots == NULL) {
        return false;
    }
    lay_table_each(table, s)
    {
        *slot_of(&grown, s->key) = *s;
    }
    cis_free(table->slots);
    *table = grown;
    return true;
}

void cis_lay_table_put(struct lay_table *table, uint64_t key, void *value)
{
    struct lay_slot *s = slot_of(table, key);
    table->count += s->value == NULL;
    *s = (struct lay_slot){key, value};
}

CIS_WRAPS void *cis_lay_table_remove(struct lay_table *table, uint64_t key)
{
    if (table->count == 0) {
        return NULL;
    }
    struct lay_slot *s = slot_of(table, key);
    void *value = s->value;
    if (value == NULL) {
        return NULL;
    }
    table->count--;
    size_t hole = (size_t)(s - table->slots), mask = table->cap - 1;
    for (size_t i = (hole + 1) & mask; table->slots[i].value != NULL; i = (i + 1) & mask) {
        size_t home = start(table, table->slots[i].key);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            table->slots[hole] = table->slots[i];
            hole = i;
        }
    }
    table->slots[hole].value = NULL;
    return value;
}
