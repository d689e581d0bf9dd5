/* Huge pages for a large ring.
 *
 * Rule: requested once, before the memory is used. If the kernel has none, nothing is lost. */
#ifndef AUDITSENSE_HUGEPAGES_H
#define AUDITSENSE_HUGEPAGES_H

#include <stddef.h>

/* Request huge pages for 64 MiB or more: with windows for a hundred thousand keys, page lookups make up a fifth of
 * an event's cost. A smaller ring stays in small pages, most of which it never uses. Returns the memory, which may be
 * NULL. */
void *as_hugepages_advise(void *memory, size_t bytes);

#endif
