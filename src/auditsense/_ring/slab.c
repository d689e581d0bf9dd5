#include "slab.h"

static const uint32_t LARGE = UINT32_C(1) << 31;

static void init_pool(as_slab_pool *pool, uint32_t slots, uint32_t slot_bytes, as_arena *arena) {
    pool->slots = slots;
    pool->slot_bytes = slot_bytes;
    pool->free_count = slots;
    pool->free = as_arena_alloc(arena, slots, sizeof *pool->free);
    pool->bytes = as_arena_alloc(arena, slots, slot_bytes);
    for (uint32_t i = 0; pool->free != NULL && i < slots; i++) {
        pool->free[i] = slots - 1 - i;
    }
}

void as_slab_init(as_slab *slab, const as_config *config, as_arena *arena) {
    init_pool(&slab->small, config->small_texts, AS_SMALL_TEXT, arena);
    init_pool(&slab->large, config->large_texts, config->datagram_bytes, arena);
}

bool as_slab_store(as_slab *slab, as_span text, as_slab_ref *out) {
    const bool small = text.len <= AS_SMALL_TEXT;
    as_slab_pool *pool = small ? &slab->small : &slab->large;
    if (pool->free_count == 0) {
        return false;
    }
    const uint32_t slot = pool->free[--pool->free_count];
    if (text.len > 0) {
        memcpy(pool->bytes + (size_t)slot * pool->slot_bytes, text.at, text.len);
    }
    *out = (as_slab_ref){.slot = small ? slot : slot | LARGE, .len = text.len};
    return true;
}

as_span as_slab_span(const as_slab *slab, as_slab_ref text) {
    const bool large = (text.slot & LARGE) != 0;
    const as_slab_pool *pool = large ? &slab->large : &slab->small;
    return as_span_of(pool->bytes + (size_t)(text.slot & ~LARGE) * pool->slot_bytes, text.len);
}

void as_slab_release(as_slab *slab, as_slab_ref text) {
    as_slab_pool *pool = (text.slot & LARGE) != 0 ? &slab->large : &slab->small;
    pool->free[pool->free_count++] = text.slot & ~LARGE;
}

static void migrate_pool(as_slab_pool *pool, const as_slab_pool *from) {
    memcpy(pool->free, from->free, (size_t)from->slots * sizeof *from->free);
    pool->free_count = from->free_count;
}

void as_slab_migrate(as_slab *slab, const as_slab *from) {
    migrate_pool(&slab->small, &from->small);
    migrate_pool(&slab->large, &from->large);
}

void as_slab_copy(as_slab *slab, const as_slab *from, as_slab_ref text) {
    const as_slab_pool *pool = (text.slot & LARGE) != 0 ? &slab->large : &slab->small;
    if (text.len > 0) {
        memcpy(pool->bytes + (size_t)(text.slot & ~LARGE) * pool->slot_bytes, as_slab_span(from, text).at, text.len);
    }
}
