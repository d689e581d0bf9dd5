#include "texts.h"

static const uint32_t LARGE = UINT32_C(1) << 31;

static void carve(as_text_pool *pool, uint32_t slots, uint32_t slot_bytes, as_carver *from) {
    pool->slots = slots;
    pool->slot_bytes = slot_bytes;
    pool->free_count = slots;
    pool->free = as_carve(from, slots, sizeof *pool->free);
    pool->bytes = as_carve(from, slots, slot_bytes);
    for (uint32_t i = 0; pool->free != NULL && i < slots; i++) {
        pool->free[i] = slots - 1 - i;
    }
}

void as_texts_carve(as_texts *texts, const as_config *config, as_carver *from) {
    carve(&texts->small, config->small_texts, AS_SMALL_TEXT, from);
    carve(&texts->large, config->large_texts, config->datagram_bytes, from);
}

bool as_texts_keep(as_texts *texts, as_span text, as_text *out) {
    const bool small = text.len <= AS_SMALL_TEXT;
    as_text_pool *pool = small ? &texts->small : &texts->large;
    if (pool->free_count == 0) {
        return false;
    }
    const uint32_t slot = pool->free[--pool->free_count];
    if (text.len > 0) {
        memcpy(pool->bytes + (size_t)slot * pool->slot_bytes, text.at, text.len);
    }
    *out = (as_text){.slot = small ? slot : slot | LARGE, .len = text.len};
    return true;
}

as_span as_texts_span(const as_texts *texts, as_text text) {
    const bool large = (text.slot & LARGE) != 0;
    const as_text_pool *pool = large ? &texts->large : &texts->small;
    return as_span_of(pool->bytes + (size_t)(text.slot & ~LARGE) * pool->slot_bytes, text.len);
}

void as_texts_release(as_texts *texts, as_text text) {
    as_text_pool *pool = (text.slot & LARGE) != 0 ? &texts->large : &texts->small;
    pool->free[pool->free_count++] = text.slot & ~LARGE;
}

static void adopt(as_text_pool *pool, const as_text_pool *from) {
    memcpy(pool->free, from->free, (size_t)from->slots * sizeof *from->free);
    pool->free_count = from->free_count;
}

void as_texts_adopt(as_texts *texts, const as_texts *from) {
    adopt(&texts->small, &from->small);
    adopt(&texts->large, &from->large);
}

void as_texts_copy(as_texts *texts, const as_texts *from, as_text text) {
    const as_text_pool *pool = (text.slot & LARGE) != 0 ? &texts->large : &texts->small;
    if (text.len > 0) {
        memcpy(pool->bytes + (size_t)(text.slot & ~LARGE) * pool->slot_bytes, as_texts_span(from, text).at, text.len);
    }
}
