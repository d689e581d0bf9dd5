#define _GNU_SOURCE /* recvmmsg */
#include "datagram.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>

/* Slots a power of two apart map to the same few sets of every cache and evict each other between the kernel's write
 * and our read. A record usually takes at most five lines of 64 bytes. */
enum { SLOT_PADDING = 5 * 64 };

/* From linux/audit.h. Below 1100 are commands and replies, except LOGIN; 1329 notifies the owner of the socket that
 * another process requested ownership. */
enum { AUDIT_LOGIN_TYPE = 1006, AUDIT_REPLACE_TYPE = 1329, FIRST_RECORD_TYPE = 1100 };

void as_datagrams_init(as_datagrams *in, const as_config *config, as_arena *arena) {
    in->slots = config->datagram_slots;
    in->slot_bytes = config->datagram_bytes;
    in->fetched = 0;
    in->taken = 0;
    in->senders_known = false;
    in->messages = as_arena_alloc(arena, in->slots, sizeof *in->messages);
    in->vectors = as_arena_alloc(arena, in->slots, sizeof *in->vectors);
    in->senders = as_arena_alloc(arena, in->slots, sizeof *in->senders);
    in->bytes = as_arena_alloc(arena, in->slots, in->slot_bytes + SLOT_PADDING);
    if (in->bytes == NULL) {
        return;
    }
    for (uint32_t i = 0; i < in->slots; i++) {
        in->vectors[i] = (struct iovec){.iov_base = in->bytes + (size_t)i * (in->slot_bytes + SLOT_PADDING),
                                        .iov_len = in->slot_bytes};
        in->messages[i].msg_hdr = (struct msghdr){.msg_iov = &in->vectors[i], .msg_iovlen = 1};
    }
}

/* Make recvmmsg return the sender of each datagram, or not. */
static void request_senders(as_datagrams *in, bool wanted) {
    for (uint32_t i = 0; i < in->slots; i++) {
        in->messages[i].msg_hdr.msg_name = wanted ? &in->senders[i] : NULL;
        in->messages[i].msg_hdr.msg_namelen = 0;
    }
    in->senders_known = wanted;
}

int64_t as_datagrams_fetch(as_datagrams *in, int fd, bool trusted) {
    if (in->taken < in->fetched) {
        return AS_UNREAD;
    }
    in->fetched = 0;
    in->taken = 0;
    if (in->senders_known == trusted) {
        request_senders(in, !trusted);
    }
    for (uint32_t i = 0; in->senders_known && i < in->slots; i++) {
        /* The kernel overwrites the length with what it wrote, and does not touch a missing name. */
        in->messages[i].msg_hdr.msg_namelen = sizeof *in->senders;
        in->senders[i] = (struct sockaddr_nl){.nl_pid = UINT32_MAX};
    }
    int got;
    do {
        got = recvmmsg(fd, in->messages, in->slots, MSG_DONTWAIT, NULL);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : AS_SYSTEM;
    }
    in->fetched = (uint32_t)got;
    return got;
}

bool as_datagrams_next(as_datagrams *in, as_span *bytes, uint32_t *sender, bool *cut) {
    if (in->taken == in->fetched) {
        return false;
    }
    const struct mmsghdr *message = &in->messages[in->taken];
    *bytes = as_span_of(in->vectors[in->taken].iov_base, message->msg_len);
    const struct sockaddr_nl *name = &in->senders[in->taken];
    *sender = 0;
    if (in->senders_known) { /* the name of another socket family has no port, even if a number is at its offset */
        *sender = name->nl_family == AF_NETLINK ? name->nl_pid : UINT32_MAX;
    }
    *cut = (message->msg_hdr.msg_flags & MSG_TRUNC) != 0;
    in->taken++;
    return true;
}

void as_datagrams_migrate(as_datagrams *in, const as_datagrams *from) {
    in->fetched = from->fetched;
    in->taken = from->taken;
    request_senders(in, from->senders_known);
    for (uint32_t i = from->taken; i < from->fetched; i++) {
        in->senders[i] = from->senders[i];
        in->messages[i].msg_len = from->messages[i].msg_len;
        in->messages[i].msg_hdr.msg_flags = from->messages[i].msg_hdr.msg_flags;
        memcpy(in->vectors[i].iov_base, from->vectors[i].iov_base, from->messages[i].msg_len);
    }
}

as_datagram as_datagram_read(as_span bytes, uint32_t sender) {
    as_datagram datagram = {.kind = AS_DATAGRAM_SHORT};
    if (sender != 0) {
        datagram.kind = AS_DATAGRAM_FOREIGN;
        return datagram;
    }
    if (bytes.len < NLMSG_HDRLEN) {
        return datagram;
    }
    struct nlmsghdr header;
    memcpy(&header, bytes.at, sizeof header);
    datagram.type = header.nlmsg_type;
    datagram.text = as_span_skip(bytes, NLMSG_HDRLEN);
    const bool record = (header.nlmsg_type >= FIRST_RECORD_TYPE && header.nlmsg_type != AUDIT_REPLACE_TYPE) ||
                        header.nlmsg_type == AUDIT_LOGIN_TYPE;
    datagram.kind = record ? AS_DATAGRAM_RECORD : AS_DATAGRAM_CONTROL;
    return datagram;
}

static void put_little(uint8_t *out, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}

void as_packed_write(uint8_t *out, const as_packed *entry) {
    put_little(out, entry->ms, 8);
    put_little(out + 8, entry->bytes.len, 4);
    put_little(out + 12, entry->sender, 4);
    memcpy(out + AS_PACKED_HEADER, entry->bytes.at, entry->bytes.len);
}

uint32_t as_packed_read(as_span span, as_packed *out) {
    if (span.len < AS_PACKED_HEADER) {
        return 0;
    }
    const uint64_t sizes = as_load8(span.at + 8);
    const uint32_t len = (uint32_t)sizes;
    if (len > span.len - AS_PACKED_HEADER) {
        return 0;
    }
    out->ms = as_load8(span.at);
    out->sender = (uint32_t)(sizes >> 32);
    out->bytes = as_span_of(span.at + AS_PACKED_HEADER, len);
    return AS_PACKED_HEADER + len;
}

int64_t as_datagrams_pack(as_datagrams *in, uint8_t *out, size_t size, uint64_t now_ms, as_stats *stats) {
    size_t used = 0;
    as_packed entry = {.ms = now_ms};
    bool cut;
    if (size < (size_t)in->slots * (in->slot_bytes + AS_PACKED_HEADER)) {
        return AS_ARGUMENT;
    }
    while (as_datagrams_next(in, &entry.bytes, &entry.sender, &cut)) {
        stats->datagrams++;
        stats->truncated += cut ? 1 : 0;
        as_packed_write(out + used, &entry);
        used += AS_PACKED_HEADER + entry.bytes.len;
    }
    return (int64_t)used;
}
