/* The broker: what each client may ask for, and how it answers. Runs it in a thread. */
#include "_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "check.h"

enum { FLAGS = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, MOST = 4 };

static struct {
    char path[64];
    int folder;
    as_broker_client clients[MOST];
    int ours[MOST];
    uint32_t count;
    int32_t result;
    pthread_t thread;
} broker;

static void *serve(void *unused) {
    broker.result = as_broker_serve(broker.clients, broker.count);
    return unused;
}

static void begin(const as_broker_client *clients, uint32_t count) {
    memcpy(broker.clients, clients, count * sizeof *clients);
    broker.count = count;
    for (uint32_t i = 0; i < count; i++) {
        int pair[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        broker.ours[i] = pair[0];
        broker.clients[i].connection = pair[1];
        broker.clients[i].folder = broker.folder;
    }
    CHECK(pthread_create(&broker.thread, NULL, serve, NULL) == 0);
}

static void end(void) {
    for (uint32_t i = 0; i < broker.count; i++) {
        close(broker.ours[i]);
    }
    CHECK(pthread_join(broker.thread, NULL) == 0);
    CHECK_EQUAL(broker.result, 0);
    for (uint32_t i = 0; i < broker.count; i++) {
        close(broker.clients[i].connection);
    }
}

/* Returns the answer, and a descriptor or -1. */
static int ask(uint32_t client, uint8_t request, int *descriptor) {
    uint8_t answer = 0xEE;
    struct iovec part = {.iov_base = &answer, .iov_len = 1};
    union {
        struct cmsghdr aligned;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    CHECK_EQUAL(send(broker.ours[client], &request, 1, 0), 1);
    CHECK_EQUAL(recvmsg(broker.ours[client], &message, 0), 1);
    *descriptor = -1;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL) {
        memcpy(descriptor, CMSG_DATA(header), sizeof *descriptor);
    }
    return answer;
}

static int answer_to(uint32_t client, uint8_t request) {
    int descriptor;
    const int answer = ask(client, request, &descriptor);
    CHECK_EQUAL(descriptor, -1);
    return answer;
}

static uint64_t inode_of(const char *name) {
    struct stat status;
    return fstatat(broker.folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)status.st_ino : 0;
}

static void make(const char *name) {
    close(openat(broker.folder, name, O_WRONLY | O_CREAT | O_EXCL, 0600));
}

static void files(void) {
    const char *names[] = {"a", "a.1", "a.2"};
    const as_broker_client client = {.names = names, .count = 3, .kind = AS_BROKER_FILE, .flags = FLAGS};
    int descriptor;
    begin(&client, 1);

    CASE("the file of a sink is opened, and made where it is missing");
    CHECK_EQUAL(ask(0, 'O', &descriptor), 0);
    struct stat status;
    CHECK(fstat(descriptor, &status) == 0);
    CHECK_EQUAL(status.st_ino, inode_of("a"));
    CHECK_EQUAL(status.st_mode & 0777, 0600);
    close(descriptor);

    CASE("rotation renames the file and those before it, and replaces the oldest");
    make("a.1");
    make("a.2");
    const uint64_t newest = inode_of("a"), middle = inode_of("a.1");
    CHECK_EQUAL(answer_to(0, 'R'), 0);
    CHECK_EQUAL(inode_of("a"), 0);
    CHECK_EQUAL(inode_of("a.1"), newest);
    CHECK_EQUAL(inode_of("a.2"), middle);

    CASE("a file that is not the one that was opened is not rotated");
    make("a");
    CHECK_EQUAL(answer_to(0, 'R'), 0);
    CHECK_EQUAL(inode_of("a.1"), newest);

    CASE("every other request is answered, and does nothing");
    for (int request = 0; request < 256; request++) {
        if (request != 'O' && request != 'R') {
            CHECK_EQUAL(answer_to(0, (uint8_t)request), 0);
        }
    }
    end();
}

static void logs(void) {
    const char *names[] = {"log", "log.1"};
    const as_broker_client client = {.names = names, .count = 2, .kind = AS_BROKER_LOG, .flags = O_RDONLY | O_CLOEXEC};
    int descriptor;
    make("log");
    begin(&client, 1);

    CASE("before a log was opened, it is another one");
    CHECK_EQUAL(answer_to(0, 255), ESTALE);

    CASE("a log is opened, and is the same until it is renamed");
    CHECK_EQUAL(ask(0, 0, &descriptor), 0);
    close(descriptor);
    CHECK_EQUAL(answer_to(0, 255), 0);
    CHECK(renameat(broker.folder, "log", broker.folder, "log.1") == 0);
    CHECK_EQUAL(answer_to(0, 255), ENOENT);
    make("log");
    CHECK_EQUAL(answer_to(0, 255), ESTALE);

    CASE("its predecessor is opened, which changes nothing about the log");
    CHECK_EQUAL(ask(0, 1, &descriptor), 0);
    close(descriptor);
    CHECK_EQUAL(answer_to(0, 255), ESTALE);

    CASE("a name that it does not have is refused");
    for (int request = 2; request < 255; request++) {
        CHECK_EQUAL(answer_to(0, (uint8_t)request), EINVAL);
    }
    end();
}

static void sockets(void) {
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    snprintf(place.sun_path, sizeof place.sun_path, "%s/s", broker.path);
    const char *names[] = {(const char *)&place};
    const as_broker_client client = {.names = names, .count = 1, .kind = AS_BROKER_SOCKET, .length = sizeof place};
    const int listening = socket(AF_UNIX, SOCK_STREAM, 0);
    begin(&client, 1);

    CASE("a socket that does not exist is named");
    CHECK_EQUAL(answer_to(0, 'S'), ENOENT);

    CASE("a socket is connected");
    CHECK(bind(listening, (struct sockaddr *)&place, sizeof place) == 0 && listen(listening, 1) == 0);
    int descriptor;
    CHECK_EQUAL(ask(0, 'S', &descriptor), 0);
    CHECK(descriptor >= 0);
    close(descriptor);

    CASE("one of the other type is refused");
    CHECK_EQUAL(answer_to(0, 'D'), EPROTOTYPE);
    close(listening);
    end();
}

static void removal(void) {
    char lock[96], control[96], folder[96];
    snprintf(lock, sizeof lock, "%s/run/lock", broker.path);
    snprintf(control, sizeof control, "%s/run/control", broker.path);
    snprintf(folder, sizeof folder, "%s/run", broker.path);
    const char *names[] = {lock, control, folder};
    const as_broker_client client = {.names = names, .count = 3, .files = 2, .kind = AS_BROKER_TIDY};
    CHECK(mkdirat(broker.folder, "run", 0700) == 0);
    make("run/lock");
    make("run/control");
    begin(&client, 1);

    CASE("the last file stays where nothing was noted, and with it the folder");
    CHECK_EQUAL(answer_to(0, 'C'), 0);
    CHECK_EQUAL(inode_of("run/lock"), 0);
    CHECK(inode_of("run/control") != 0);

    CASE("it stays where it is as before the sensor made its own");
    CHECK_EQUAL(answer_to(0, 'B'), 0);
    CHECK_EQUAL(answer_to(0, 'C'), 0);
    CHECK(inode_of("run/control") != 0);

    CASE("it is removed where it is the sensor's, and the folder as well");
    CHECK_EQUAL(answer_to(0, 'K'), 0);
    CHECK_EQUAL(answer_to(0, 'C'), 0);
    CHECK_EQUAL(inode_of("run"), 0);
    end();
}

static void clients(void) {
    const char *names[] = {"b", "b.1"};
    as_broker_client two[] = {{.names = names, .count = 2, .kind = AS_BROKER_FILE, .flags = FLAGS},
                              {.names = names, .count = 0, .kind = AS_BROKER_TIDY}};
    int descriptor;
    begin(two, 2);

    CASE("the end of one client ends no other, also with an answer unread");
    CHECK_EQUAL(send(broker.ours[1], "C", 1, 0), 1);
    uint8_t answer;
    CHECK_EQUAL(recv(broker.ours[1], &answer, 1, MSG_PEEK), 1);
    close(broker.ours[1]);
    CHECK_EQUAL(ask(0, 'O', &descriptor), 0);
    close(descriptor);
    broker.ours[1] = dup(broker.ours[0]);
    end();

    CASE("more clients than there is room for are refused");
    CHECK_EQUAL(as_broker_serve(two, AS_BROKER_CLIENTS + 1), EINVAL);
}

int main(void) {
    snprintf(broker.path, sizeof broker.path, "/tmp/auditsense-test-XXXXXX");
    if (mkdtemp(broker.path) == NULL || (broker.folder = open(broker.path, O_PATH | O_DIRECTORY)) < 0) {
        return 1;
    }
    files();
    logs();
    sockets();
    removal();
    clients();
    const char *left[] = {"a", "a.1", "a.2", "log", "log.1", "b", "b.1", "s"};
    for (uint32_t i = 0; i < sizeof left / sizeof *left; i++) {
        (void)unlinkat(broker.folder, left[i], 0);
    }
    CASE("nothing is left");
    CHECK(rmdir(broker.path) == 0);
    return check_done();
}
