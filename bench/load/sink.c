// sink - answers every HTTP request with 200 and forgets it: where webhooks go during a run.
// One thread, epoll, keep-alive. usage: sink PORT
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_BYTES = 16384, READ_BYTES = 65536, EVENTS = 64 };

typedef struct {
    int fd;
    size_t head_length; // of the head so far
    size_t body_left;   // of the body that is being skipped
    char head[HEAD_BYTES + 1];
} Connection;

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

static size_t body_length(const char *head) {
    const char *line = strcasestr(head, "\r\ncontent-length:");
    return line ? strtoul(line + strlen("\r\ncontent-length:"), NULL, 10) : 0;
}

// Returns -1 when the connection is of no use any more.
static int receive(Connection *connection, const char *data, size_t length) {
    while (length) {
        if (connection->body_left) {
            size_t skipped = length < connection->body_left ? length : connection->body_left;
            data += skipped, length -= skipped, connection->body_left -= skipped;
        } else {
            if (connection->head_length == HEAD_BYTES) return -1;
            connection->head[connection->head_length++] = *data++, length--;
            connection->head[connection->head_length] = 0;
            if (connection->head_length < 4) continue;
            if (memcmp(connection->head + connection->head_length - 4, "\r\n\r\n", 4)) continue;
            connection->body_left = body_length(connection->head);
            connection->head_length = 0;
            if (connection->body_left) continue;
        }
        if (!connection->body_left && send(connection->fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) < 0)
            return -1;
    }
    return 0;
}

int main(int argc, char **argv) {
    static char data[READ_BYTES];
    if (argc != 2) return fprintf(stderr, "usage: sink PORT\n"), 2;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 1024))
        return perror("bind"), 1;

    int poll = epoll_create1(0);
    struct epoll_event interest = {.events = EPOLLIN}, events[EVENTS];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &interest);
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            Connection *connection = events[i].data.ptr;
            if (!connection) {
                int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (fd < 0) continue;
                connection = calloc(1, sizeof *connection);
                connection->fd = fd;
                interest.data.ptr = connection;
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &interest);
                continue;
            }
            ssize_t length = recv(connection->fd, data, sizeof data, 0);
            if (length < 0 && (errno == EAGAIN || errno == EINTR)) continue;
            if (length <= 0 || receive(connection, data, length) < 0) {
                close(connection->fd);
                free(connection);
            }
        }
    }
}
