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
    init_pool(&slab->large, config->large_texts, config->datagram_bytes + (uint32_t)sizeof(as_text_link), arena);
}

static inline uint8_t *slot_at(const as_slab *slab, uint32_t slot) {
    const as_slab_pool *pool = (slot & LARGE) != 0 ? &slab->large : &slab->small;
    return pool->bytes + (size_t)(slot & ~LARGE) * pool->slot_bytes;
}

/* A SYSCALL or PATH record is long enough for memcpy, others are not. */
static inline void copy(uint8_t *restrict to, as_span text) {
    enum { LONG = 128 };
    if (text.len >= LONG) {
        memcpy(to, text.at, text.len);
    } else {
        as_span_copy(to, text);
    }
}

bool as_slab_store(as_slab *slab, as_span text, as_slab_ref *out) {
    const bool small = text.len <= AS_SMALL_TEXT;
    as_slab_pool *pool = small ? &slab->small : &slab->large;
    if (pool->free_count == 0) {
        return false;
    }
    const uint32_t slot = pool->free[--pool->free_count];
    copy(pool->bytes + (size_t)slot * pool->slot_bytes, text);
    *out = (as_slab_ref){.slot = small ? slot : slot | LARGE, .len = text.len};
    return true;
}

bool as_slab_link(as_slab *slab, uint32_t *head, uint16_t type, as_span text, bool *large) {
    *large = text.len > AS_SMALL_TEXT - sizeof(as_text_link);
    as_slab_pool *pool = *large ? &slab->large : &slab->small;
    if (pool->free_count == 0) {
        return false;
    }
    const uint32_t slot = pool->free[--pool->free_count] | (*large ? LARGE : 0);
    const as_text_link link = {.next = *head, .len = text.len, .type = type};
    uint8_t *const at = slot_at(slab, slot);
    memcpy(at, &link, sizeof link);
    if (text.len > 0) {
        memcpy(at + sizeof link, text.at, text.len);
    }
    *head = slot;
    return true;
}

as_text_link as_slab_linked(const as_slab *slab, uint32_t slot, as_span *text) {
    as_text_link link;
    const uint8_t *const at = slot_at(slab, slot);
    memcpy(&link, at, sizeof link);
    *text = as_span_of(at + sizeof link, link.len);
    return link;
}

void as_slab_release_linked(as_slab *slab, uint32_t slot) {
    as_slab_release(slab, (as_slab_ref){.slot = slot});
}

as_span as_slab_span(const as_slab *slab, as_slab_ref text) {
    return as_span_of(slot_at(slab, text.slot), text.len);
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
    if (text.len > 0) {
        memcpy(slot_at(slab, text.slot), as_slab_span(from, text).at, text.len);
    }
}

void as_slab_copy_linked(as_slab *slab, const as_slab *from, uint32_t head) {
    while (head != AS_NO_TEXT) {
        as_span text;
        const as_text_link link = as_slab_linked(from, head, &text);
        memcpy(slot_at(slab, head), text.at - sizeof link, sizeof link + text.len);
        head = link.next;
    }
}
