/* Stage 2, socket address: the hex of a struct sockaddr. */
#include "_ring/socket_address.h"

#include "check.h"

static as_socket_address address;

static bool read_address(const char *hex, bool big_endian) {
    return as_socket_address_read(guarded_span(hex, strlen(hex)), big_endian, &address);
}

#define PART(name) as_span_of(address.name, address.name##_len)

static void internet(void) {
    CASE("an IPv4 address has an address and a port");
    CHECK(read_address("02002329C00002010000000000000000", false));
    CHECK_TEXT(PART(family), "ipv4");
    CHECK_TEXT(PART(ip), "192.0.2.1");
    CHECK_TEXT(PART(port), "9001");
    CHECK_EQUAL(address.path_len, 0);
    CASE("the family is in the byte order of the host, the port never is");
    CHECK(read_address("00022329C0000201", true));
    CHECK_TEXT(PART(family), "ipv4");
    CHECK_TEXT(PART(port), "9001");
    CASE("an IPv6 address is shortened as RFC 5952 says");
    CHECK(read_address("0A0001BB0000000020010DB8000000000000000000000001", false));
    CHECK_TEXT(PART(family), "ipv6");
    CHECK_TEXT(PART(ip), "2001:db8::1");
    CHECK_TEXT(PART(port), "443");
    static const struct {
        const char *hex;
        const char *text;
    } rows[] = {
        {"00000000000000000000000000000000", "::"},
        {"00000000000000000000000000000001", "::1"},
        {"00010000000000000000000000000000", "1::"},
        {"20010DB8000000010001000100010001", "2001:db8:0:1:1:1:1:1"},
        {"20010DB8000000000001000000000001", "2001:db8::1:0:0:1"},
        {"20010DB8000100000000000100000000", "2001:db8:1::1:0:0"},
        {"FE80000000000000ABCDEF0123456789", "fe80::abcd:ef01:2345:6789"},
        {"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"00000000000000000000FFFF7F000001", "127.0.0.1"},
        {"0000000000000000000000007F000001", "::7f00:1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char hex[64];
        snprintf(hex, sizeof hex, "0A00005000000000%s", rows[i].hex);
        CHECK(read_address(hex, false));
        check_text(PART(ip), rows[i].text, strlen(rows[i].text), rows[i].hex, __FILE__, __LINE__);
    }
}

static void local(void) {
    CASE("a unix address has a path, up to the first zero byte");
    CHECK(read_address("01002F72756E2F6E7363642F736F636B65740000", false));
    CHECK_TEXT(PART(family), "unix");
    CHECK_TEXT(PART(path), "/run/nscd/socket");
    CHECK_EQUAL(address.ip_len + address.port_len, 0);
    CASE("an abstract name starts with @");
    CHECK(read_address("0100006162", false));
    CHECK_TEXT(PART(path), "@ab");
    CASE("an unnamed socket has no path");
    CHECK(read_address("0100", false));
    CHECK_EQUAL(address.path_len, 0);
    CHECK(read_address("01000000", false));
    CHECK_EQUAL(address.path_len, 0);
    CASE("a path of full length has no zero byte; what is longer is cut");
    char hex[2 * (2 + AS_SOCKET_PATH) + 9] = "0100";
    memset(hex + 4, '6', 2 * AS_SOCKET_PATH + 4);
    CHECK(read_address(hex, false));
    CHECK_EQUAL(address.path_len, AS_SOCKET_PATH);
}

static void others(void) {
    CASE("other families have a name or a number");
    CHECK(read_address("100000000000000000000000", false));
    CHECK_TEXT(PART(family), "netlink");
    CHECK(read_address("2600736B6369706865720000", false));
    CHECK_TEXT(PART(family), "38");
    CHECK(read_address("FFFF", false));
    CHECK_TEXT(PART(family), "65535");
    CASE("an address that is too short has a family and nothing else");
    CHECK(read_address("02002329C00002", false));
    CHECK_TEXT(PART(family), "ipv4");
    CHECK_EQUAL(address.ip_len + address.port_len, 0);
    CHECK(read_address("0A0001BB0000000020010DB80000000000000000000000", false));
    CHECK_EQUAL(address.ip_len + address.port_len, 0);
    CASE("what is not hex ends the address; without two bytes there is none");
    CHECK(read_address("02002329C00002x1", false));
    CHECK_EQUAL(address.ip_len, 0);
    CHECK(!read_address("", false));
    CHECK(!read_address("02", false));
    CHECK(!read_address("020", false));
    CHECK(!read_address("x200", false));
    CHECK_EQUAL(address.family_len, 0);
    CASE("lower case is hex, too");
    CHECK(read_address("0a0001bb0000000020010db8000000000000000000000001", false));
    CHECK_TEXT(PART(ip), "2001:db8::1");
}

int main(void) {
    internet();
    local();
    others();
    return check_done();
}
