/* Where the records of unfinished events are kept: two pools of slots, small and large.
 *
 * Part of stage 3. Most records fit 512 bytes; those that a long path or label makes longer take one of
 * the few large slots. A freed slot is the next one taken, so the bytes in use stay in the cache.
 * Rule: a text is one piece, so that a value in it can be looked at where it lies. */
#ifndef AUDITSENSE_TEXTS_H
#define AUDITSENSE_TEXTS_H

#include "../_ring.h"
#include "carve.h"
#include "span.h"

enum { AS_SMALL_TEXT = 512 };

typedef struct {
    uint8_t *bytes;
    uint32_t *free; /* a stack of slot numbers */
    uint32_t free_count;
    uint32_t slots;
    uint32_t slot_bytes;
} as_text_pool;

typedef struct {
    as_text_pool small;
    as_text_pool large;
} as_texts;

/* A kept text: slot number, and in the top bit the pool it lies in. */
typedef struct {
    uint32_t slot;
    uint32_t len;
} as_text;

void as_texts_carve(as_texts *texts, const as_config *config, as_carver *from);

/* Copy a text of at most datagram_bytes. False: no slot of its size is free. */
bool as_texts_keep(as_texts *texts, as_span text, as_text *out);
as_span as_texts_span(const as_texts *texts, as_text text);
void as_texts_release(as_texts *texts, as_text text);

/* Take over from pools of the same size which slots are free, and then, one by one, the texts in the others. */
void as_texts_adopt(as_texts *texts, const as_texts *from);
void as_texts_copy(as_texts *texts, const as_texts *from, as_text text);

#endif
