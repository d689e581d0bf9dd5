/* Slab allocator for the records of unfinished events: two pools of slots, small and large.
 *
 * Part of stage 3. Most records fit 512 bytes; longer ones, with a long path or label, take one of the few large slots.
 * The most recently freed slot is reused first, so the bytes in use stay in the cache.
 * Rule: a text is contiguous, so that values can be read in place. */
#ifndef AUDITSENSE_SLAB_H
#define AUDITSENSE_SLAB_H

#include "../_ring.h"
#include "arena.h"
#include "span.h"

enum { AS_SMALL_TEXT = 512 };

typedef struct {
    uint8_t *bytes;
    uint32_t *free; /* a stack of slot numbers */
    uint32_t free_count;
    uint32_t slots;
    uint32_t slot_bytes;
} as_slab_pool;

typedef struct {
    as_slab_pool small;
    as_slab_pool large;
} as_slab;

/* A stored text: the slot number, with the pool in the top bit. */
typedef struct {
    uint32_t slot;
    uint32_t len;
} as_slab_ref;

void as_slab_init(as_slab *slab, const as_config *config, as_arena *arena);

/* Texts of one event that have no fixed place are linked: each is stored behind such a link. */
typedef struct {
    uint32_t next; /* slot of the text stored before; AS_NO_TEXT: none */
    uint32_t len;
    uint16_t type; /* of the record */
    uint16_t unused;
} as_text_link;

#define AS_NO_TEXT UINT32_MAX

/* Copy a text of at most datagram_bytes. False: no slot of its size is free. */
bool as_slab_store(as_slab *slab, as_span text, as_slab_ref *out);
as_span as_slab_span(const as_slab *slab, as_slab_ref text);
void as_slab_release(as_slab *slab, as_slab_ref text);

/* Copy a text and link it before *head. False: no slot of its size is free. */
bool as_slab_link(as_slab *slab, uint32_t *head, uint16_t type, as_span text, bool *large);

/* The link and the text in this slot. */
as_text_link as_slab_linked(const as_slab *slab, uint32_t slot, as_span *text);
void as_slab_release_linked(as_slab *slab, uint32_t slot);

/* Copy the state of pools of the same size, then, one by one, the texts in use. */
void as_slab_migrate(as_slab *slab, const as_slab *from);
void as_slab_copy(as_slab *slab, const as_slab *from, as_slab_ref text);
void as_slab_copy_linked(as_slab *slab, const as_slab *from, uint32_t head);

#endif
