/* The pages a ring lies in.
 *
 * Rule: asked for once, before any of the memory is used. Where the kernel has none, nothing is lost. */
#ifndef AUDITSENSE_HUGEPAGES_H
#define AUDITSENSE_HUGEPAGES_H

#include <stddef.h>

/* Ask for huge pages when this is a lot of memory (64 MiB): who has a window for each of a hundred thousand
 * keys goes through all of them, and a fifth of what an event costs then is finding pages. A small ring stays
 * in small pages, of which it never uses most. Returns the memory, which may be NULL. */
void *as_hugepages_advise(void *memory, size_t bytes);

#endif
