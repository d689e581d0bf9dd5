/* Stage 1, datagram: receives bytes from the audit socket and separates records from other messages.
 *
 * Owns: the receive buffers and the only system call of the core.
 * Rule 1: recvmmsg gives the length of a record. nlmsg_len is never read: the kernel sets it 16 too small on unicast
 *   records and correctly on multicast ones.
 * Rule 2: only datagrams from the kernel (nl_pid 0) are trusted. On a socket that accepts no others the sender check is
 *   skipped.
 * Tested by tests/c/test_datagram.c and tests/core/test_ring.py. */
#ifndef AUDITSENSE_DATAGRAM_H
#define AUDITSENSE_DATAGRAM_H

#include "../_ring.h"
#include "arena.h"
#include "span.h"

struct mmsghdr;
struct iovec;
struct sockaddr_nl;

typedef enum {
    AS_DATAGRAM_RECORD,  /* type and text are set */
    AS_DATAGRAM_CONTROL, /* a reply to a command, or a notice about the socket's owner */
    AS_DATAGRAM_FOREIGN, /* another process sent it */
    AS_DATAGRAM_SHORT    /* shorter than a netlink header */
} as_datagram_kind;

typedef struct {
    as_datagram_kind kind;
    uint16_t type; /* nlmsg_type: the record's type, regardless of its text */
    as_span text;  /* after the header */
} as_datagram;

typedef struct {
    struct mmsghdr *messages;
    struct iovec *vectors;
    struct sockaddr_nl *senders;
    uint8_t *bytes;
    uint32_t slots;
    uint32_t slot_bytes;
    uint32_t fetched;   /* by the last call */
    uint32_t taken;     /* of these, returned by as_datagrams_next */
    bool senders_known; /* the last call requested senders */
} as_datagrams;

void as_datagrams_init(as_datagrams *in, const as_config *config, as_arena *arena);

/* Make one non-blocking recvmmsg call. trusted: skip the sender check. Returns the number of datagrams, 0 if there are
 * none, AS_SYSTEM with errno, or AS_UNREAD while earlier ones have not been taken. */
int64_t as_datagrams_fetch(as_datagrams *in, int fd, bool trusted);

/* Return the next fetched datagram, its sender's port, and whether it was cut. False: none left. */
bool as_datagrams_next(as_datagrams *in, as_span *bytes, uint32_t *sender, bool *cut);

/* Move the fetched and not yet taken datagrams from one of the same size. */
void as_datagrams_migrate(as_datagrams *in, const as_datagrams *from);

/* Classify a datagram by its header. */
as_datagram as_datagram_read(as_span bytes, uint32_t sender);

#define AS_PACKED_HEADER 16u

/* The packed form, also that of capture files: little-endian u64 ms, u32 length, u32 sender. */
typedef struct {
    uint64_t ms;
    uint32_t sender;
    as_span bytes;
} as_packed;

void as_packed_write(uint8_t *out, const as_packed *entry);

/* Returns the size of the entry at the start of span; 0: not a whole entry. */
uint32_t as_packed_read(as_span span, as_packed *out);

/* Write all fetched datagrams in packed form; see as_ring_pack. */
int64_t as_datagrams_pack(as_datagrams *in, uint8_t *out, size_t size, uint64_t now_ms, as_stats *stats);

#endif
