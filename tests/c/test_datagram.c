/* Stage 1, datagram: told apart by sender, length and type; packed and unpacked. */
#include "_ring/datagram.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include "check.h"
#include "samples.h"

static as_datagram read_typed(uint16_t type, uint32_t nlmsg_len, const char *text, uint32_t sender) {
    uint8_t bytes[256] = {0};
    const struct nlmsghdr header = {.nlmsg_len = nlmsg_len, .nlmsg_type = type};
    memcpy(bytes, &header, sizeof header);
    memcpy(bytes + sizeof header, text, strlen(text));
    return as_datagram_read(guarded_span(bytes, sizeof header + strlen(text)), sender);
}

static void senders(void) {
    CASE("a datagram of another process is foreign, and not looked at");
    CHECK_EQUAL(read_typed(1300, 20, "text", 1).kind, AS_DATAGRAM_FOREIGN);
    CHECK_EQUAL(as_datagram_read(guarded_span("", 0), 4711).kind, AS_DATAGRAM_FOREIGN);
    CASE("a port of 2^31 or more is a port like any other");
    CHECK_EQUAL(read_typed(1300, 20, "text", UINT32_C(2687440853)).kind, AS_DATAGRAM_FOREIGN);
}

static void lengths(void) {
    CASE("every prefix of a header is short, the whole header is not");
    const struct nlmsghdr header = {.nlmsg_type = 1300};
    for (uint32_t len = 0; len < sizeof header; len++) {
        CHECK_EQUAL(as_datagram_read(guarded_span(&header, len), 0).kind, AS_DATAGRAM_SHORT);
    }
    CHECK_EQUAL(as_datagram_read(guarded_span(&header, sizeof header), 0).kind, AS_DATAGRAM_RECORD);
    CHECK_EQUAL(as_datagram_read(guarded_span(&header, sizeof header), 0).text.len, 0);

    CASE("nlmsg_len is not believed: the text is what came, 16 less, right, or anything");
    const uint32_t lengths[] = {0, 4, 4 + 16, 5, UINT32_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        CHECK_TEXT(read_typed(1300, lengths[i], "text", 0).text, "text");
    }
}

static void types(void) {
    static const struct {
        uint16_t type;
        as_datagram_kind kind;
    } wanted[] = {{0, AS_DATAGRAM_CONTROL},    {2, AS_DATAGRAM_CONTROL},    {3, AS_DATAGRAM_CONTROL},
                  {1000, AS_DATAGRAM_CONTROL}, {1005, AS_DATAGRAM_CONTROL}, {1006, AS_DATAGRAM_RECORD},
                  {1007, AS_DATAGRAM_CONTROL}, {1013, AS_DATAGRAM_CONTROL}, {1099, AS_DATAGRAM_CONTROL},
                  {1100, AS_DATAGRAM_RECORD},  {1300, AS_DATAGRAM_RECORD},  {1328, AS_DATAGRAM_RECORD},
                  {1329, AS_DATAGRAM_CONTROL}, {1330, AS_DATAGRAM_RECORD},  {UINT16_MAX, AS_DATAGRAM_RECORD}};
    CASE("commands, their answers and the notice of a replaced owner are no records; LOGIN is one");
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        const as_datagram found = read_typed(wanted[i].type, 16, "", 0);
        CHECK_EQUAL(found.kind, wanted[i].kind);
        CHECK_EQUAL(found.type, wanted[i].type);
    }
}

static void slots(void) {
    CASE("each slot has separate bytes, in the order of the slots");
    static _Alignas(16) uint8_t memory[1 << 16];
    const as_config config = sample_config();
    as_datagrams in;
    as_arena from = {.base = memory};
    as_datagrams_init(&in, &config, &from);
    CHECK(from.used <= sizeof memory);
    const uint8_t *behind = in.bytes;
    for (uint32_t i = 0; i < config.datagram_slots; i++) {
        const uint8_t *base = in.vectors[i].iov_base;
        CHECK(base >= behind);
        CHECK_EQUAL(in.vectors[i].iov_len, config.datagram_bytes);
        CHECK(in.messages[i].msg_hdr.msg_iov == &in.vectors[i]);
        CHECK_EQUAL(in.messages[i].msg_hdr.msg_iovlen, 1);
        behind = base + config.datagram_bytes;
    }
    CHECK(behind <= memory + from.used);
}

static void packed(void) {
    uint8_t bytes[AS_PACKED_HEADER + 5];
    const as_packed entry = {
        .ms = UINT64_C(0x0102030405060708), .sender = UINT32_C(0x11121314), .bytes = GUARDED("hello")};
    as_packed back = {0};

    CASE("a packed datagram is little-endian: time, length, sender, bytes");
    as_packed_write(bytes, &entry);
    CHECK(memcmp(bytes, "\x08\x07\x06\x05\x04\x03\x02\x01\x05\0\0\0\x14\x13\x12\x11hello", sizeof bytes) == 0);

    CASE("it comes back as it was");
    CHECK_EQUAL(as_packed_read(guarded_span(bytes, sizeof bytes), &back), sizeof bytes);
    CHECK_EQUAL(back.ms, entry.ms);
    CHECK_EQUAL(back.sender, entry.sender);
    CHECK_TEXT(back.bytes, "hello");

    CASE("no prefix of it is a whole one");
    for (size_t len = 0; len < sizeof bytes; len++) {
        CHECK_EQUAL(as_packed_read(guarded_span(bytes, len), &back), 0);
    }

    CASE("a length that would pass the end, or 2^32, is no whole one");
    memset(bytes + 8, 0xff, 4);
    CHECK_EQUAL(as_packed_read(guarded_span(bytes, sizeof bytes), &back), 0);

    CASE("an empty datagram packs to a header");
    const as_packed nothing = {.ms = 1, .bytes = GUARDED("")};
    as_packed_write(bytes, &nothing);
    CHECK(memcmp(bytes + AS_PACKED_HEADER, "hello", 5) == 0);
    CHECK_EQUAL(as_packed_read(guarded_span(bytes, sizeof bytes), &back), AS_PACKED_HEADER);
    CHECK_EQUAL(back.bytes.len, 0);
}

int main(void) {
    senders();
    lengths();
    types();
    slots();
    packed();
    return check_done();
}
