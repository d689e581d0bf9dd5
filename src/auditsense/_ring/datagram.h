/* Stage 1, datagram: bytes from the audit socket, told apart from what is not a record.
 *
 * Owns the receive buffers and the only system call of the core.
 * Rule 1: the length of a record is what recvmmsg says; nlmsg_len is never read, because the kernel
 *         sets it 16 too small on unicast records and right on multicast ones.
 * Rule 2: nothing is believed that the kernel did not send (nl_pid 0); where the kernel lets nobody else send,
 *         it is not asked who did.
 * Tested by tests/c/test_datagram.c and tests/test_ring.py. */
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
    AS_DATAGRAM_CONTROL, /* an answer to a command, or a notice about the socket's owner */
    AS_DATAGRAM_FOREIGN, /* another process sent it */
    AS_DATAGRAM_SHORT    /* not even a netlink header */
} as_datagram_kind;

typedef struct {
    as_datagram_kind kind;
    uint16_t type; /* nlmsg_type: decides what the record is, whatever its text says */
    as_span text;  /* what follows the header */
} as_datagram;

typedef struct {
    struct mmsghdr *messages;
    struct iovec *vectors;
    struct sockaddr_nl *senders;
    uint8_t *bytes;
    uint32_t slots;
    uint32_t slot_bytes;
    uint32_t fetched; /* of the last call */
    uint32_t taken;   /* of these, handed on */
    bool senders_known; /* the last call asked for senders */
} as_datagrams;

void as_datagrams_init(as_datagrams *in, const as_config *config, as_arena *arena);

/* One recvmmsg call that never waits. Returns the datagrams fetched, 0 when there are none, or
 * AS_SYSTEM with errno; AS_UNREAD while earlier ones are not taken. */
int64_t as_datagrams_fetch(as_datagrams *in, int fd, bool trusted);

/* The next fetched datagram: its bytes, its sender's port, whether it was cut. False: none left. */
bool as_datagrams_next(as_datagrams *in, as_span *bytes, uint32_t *sender, bool *cut);

/* Take over what another of the same size has fetched and not handed on. */
void as_datagrams_migrate(as_datagrams *in, const as_datagrams *from);

/* Look at a datagram's header. */
as_datagram as_datagram_read(as_span bytes, uint32_t sender);

#define AS_PACKED_HEADER 16u

/* The packed form, also that of capture files: little-endian u64 ms, u32 length, u32 sender. */
typedef struct {
    uint64_t ms;
    uint32_t sender;
    as_span bytes;
} as_packed;

void as_packed_write(uint8_t *out, const as_packed *entry);

/* Returns the bytes of the entry at the start of span, 0 when it does not hold a whole one. */
uint32_t as_packed_read(as_span span, as_packed *out);

/* Take all that was fetched and write it packed; see as_ring_pack. */
int64_t as_datagrams_pack(as_datagrams *in, uint8_t *out, size_t size, uint64_t now_ms, as_stats *stats);

#endif
