/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_host: the host's side of a socket device: Unix sockets, their readiness, and the line with
 * which a program of the host asks for a port of the guest. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "devices/vsock_device.h"

#define ACCEPTS_PER_RUN  16
#define TICK_NS          (NS_PER_SEC / 2)
#define LINE_LIMIT_NS    (30 * NS_PER_SEC)
#define REQUEST_LIMIT_NS (10 * NS_PER_SEC)
#define CLOSE_LIMIT_NS   (10 * NS_PER_SEC)

static void lock(struct vsock *vsock)
{
	pthread_mutex_lock(vsock->virtio.lock);
}

static void unlock(struct vsock *vsock)
{
	pthread_mutex_unlock(vsock->virtio.lock);
}

/* ---- Input ---- */

/* The events given, and a hang-up always. Already armed, or the loop is ending: both are fine. */
static void poll_input(struct vsock_connection *connection, uint32_t events)
{
	if (!connection->hung_up)
		loop_poll(connection->vsock->loop, &connection->read_poll, connection->fd, events);
}

void vsock_wait_for_input(struct vsock_connection *connection)
{
	bool unwanted =
		connection->input_ended || connection->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_RCV;

	if (connection->state != VSOCK_OPEN)
		return;
	if (unwanted)
		poll_input(connection, 0);
	else if (connection->readable || connection->hung_up)
		vsock_ready(connection);
	else
		poll_input(connection, POLLIN);
}

static void input_event(struct vsock_connection *connection, uint32_t events)
{
	if (events & (POLLHUP | POLLERR))
		connection->hung_up = true;
	if (connection->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_RCV) {
		connection->input_ended |= connection->hung_up;
	} else if (!connection->input_ended) {
		connection->readable = true;
		vsock_ready(connection);
	}
	vsock_proceed(connection);
}

/* ---- The line ---- */

/* "CONNECT PORT", in either case, spaces at the end allowed. */
static bool parse_line(const char *line, uint32_t *port)
{
	static const char word[] = "CONNECT ";
	uint64_t value = 0;
	unsigned int digits = 0;

	if (strncasecmp(line, word, sizeof(word) - 1) != 0)
		return false;
	line += sizeof(word) - 1;
	line += strspn(line, " ");
	for (; *line >= '0' && *line <= '9' && digits < 10; line++, digits++)
		value = value * 10 + (uint64_t)(*line - '0');
	line += strspn(line, " \t\r");
	if (!digits || *line || value >= UINT32_MAX)
		return false;
	*port = (uint32_t)value;
	return true;
}

static void request(struct vsock_connection *connection, uint32_t port)
{
	vsock_name(connection, vsock_new_port(connection->vsock, port), port);
	connection->state = VSOCK_REQUESTED;
	vsock_set_deadline(connection, connection->vsock->request_limit_ns);
	vsock_want(connection, VIRTIO_VSOCK_OP_REQUEST);
}

static void give_up(struct vsock_connection *connection)
{
	vsock_count(&connection->vsock->stats.refused, 1);
	vsock_release(connection);
}

/* Takes no byte behind the line: the stream begins there. */
static void read_line(struct vsock_connection *connection)
{
	char *line = connection->line + connection->line_bytes;
	size_t room = VSOCK_LINE_BYTES - 1 - connection->line_bytes;
	ssize_t got = recv(connection->fd, line, room, MSG_PEEK | MSG_DONTWAIT);
	const char *end;
	uint32_t port;

	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		poll_input(connection, POLLIN);
		return;
	}
	if (got <= 0) {
		give_up(connection);
		return;
	}
	end = memchr(line, '\n', (size_t)got);
	if (end)
		got = end + 1 - line;
	if (recv(connection->fd, line, (size_t)got, MSG_DONTWAIT) != got) {
		give_up(connection);
		return;
	}
	connection->line_bytes += (uint32_t)got;
	if (end) {
		connection->line[connection->line_bytes - 1] = '\0';
		if (parse_line(connection->line, &port))
			request(connection, port);
		else
			give_up(connection);
	} else if (connection->line_bytes == VSOCK_LINE_BYTES - 1) {
		give_up(connection);
	} else {
		poll_input(connection, POLLIN);
	}
}

void vsock_accepted(struct vsock_connection *connection)
{
	char line[VSOCK_LINE_BYTES];
	int bytes = snprintf(line, sizeof(line), "OK %u\n", connection->host_port);

	if (send(connection->fd, line, (size_t)bytes, MSG_DONTWAIT | MSG_NOSIGNAL) != bytes) {
		vsock_break(connection);
		return;
	}
	connection->state = VSOCK_OPEN;
	vsock_set_deadline(connection, 0);
	vsock_count(&connection->vsock->stats.connections, 1);
	vsock_wait_for_input(connection);
}

/* ---- Output ---- */

static void forward(struct vsock_connection *connection, size_t bytes)
{
	connection->forwarded += (uint32_t)bytes;
	vsock_count(&connection->vsock->stats.to_host_bytes, bytes);
	if (connection->state == VSOCK_OPEN &&
	    connection->forwarded - connection->forwarded_told >= VSOCK_BUFFER_BYTES / 2)
		vsock_want(connection, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
}

/* The host's program does not read any more: nor will it get what is in the buffer. What it sent
 * before still goes to the guest. */
static void fail_output(struct vsock_connection *connection)
{
	connection->output_failed = true;
	connection->forwarded += connection->buffer_bytes;
	connection->buffer_bytes = 0;
}

/* Keeps the rest of a packet; there is room, or the guest has overdrawn its credit. */
static void keep(struct vsock_connection *connection, const struct virtq_chain *chain,
		 uint32_t offset, size_t bytes)
{
	uint8_t *buffer = vsock_buffer(connection);

	connection->buffer_used = true;
	while (bytes) {
		uint32_t end =
			(connection->buffer_first + connection->buffer_bytes) % VSOCK_BUFFER_BYTES;
		uint32_t part = (uint32_t)num_min(bytes, VSOCK_BUFFER_BYTES - end);

		virtq_read(chain, offset, buffer + end, part);
		connection->buffer_bytes += part;
		offset += part;
		bytes -= part;
	}
}

static void poll_output(struct vsock_connection *connection)
{
	loop_poll(connection->vsock->loop, &connection->write_poll, connection->fd, POLLOUT);
}

void vsock_to_host(struct vsock_connection *connection, const struct virtq_chain *chain,
		   size_t bytes)
{
	struct iovec iov[VIRTQ_SIZE_MAX];
	struct msghdr message = { .msg_iov = iov };
	size_t total;
	ssize_t sent = 0;

	if (!connection->buffer_bytes && !connection->output_failed && bytes) {
		message.msg_iovlen = vsock_slice(iov, chain->iov, chain->readable,
						 VSOCK_HEADER_BYTES, bytes, &total);
		sent = sendmsg(connection->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			fail_output(connection);
		sent = sent < 0 ? 0 : sent;
	}
	if (connection->output_failed) {
		forward(connection, bytes);
		vsock_proceed(connection);
		return;
	}
	forward(connection, (size_t)sent);
	if ((size_t)sent < bytes) {
		keep(connection, chain, (uint32_t)(VSOCK_HEADER_BYTES + (size_t)sent),
		     bytes - (size_t)sent);
		poll_output(connection);
	}
}

/* Writes the buffer as far as the socket takes it. */
static void flush(struct vsock_connection *connection)
{
	while (connection->buffer_bytes) {
		uint32_t first = connection->buffer_first;
		size_t part = num_min(connection->buffer_bytes, VSOCK_BUFFER_BYTES - first);
		ssize_t sent = send(connection->fd, vsock_buffer(connection) + first, part,
				    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN && errno != EINTR) {
			fail_output(connection);
			return;
		}
		if (sent <= 0) {
			poll_output(connection);
			return;
		}
		connection->buffer_first = (first + (uint32_t)sent) % VSOCK_BUFFER_BYTES;
		connection->buffer_bytes -= (uint32_t)sent;
		forward(connection, (size_t)sent);
	}
}

/* ---- Shutting down (5.10.6.6) ---- */

/* The guest has ended one direction or both: so does the host's socket, after the rest. */
static void shut_host(struct vsock_connection *connection)
{
	if (connection->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_SEND && !connection->buffer_bytes &&
	    !connection->write_shut) {
		connection->write_shut = true;
		shutdown(connection->fd, SHUT_WR);
	}
	if (connection->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_RCV && !connection->read_shut) {
		connection->read_shut = true;
		connection->readable = false;
		shutdown(connection->fd, SHUT_RD);
	}
}

/* The host's program has ended one direction or both: the guest is told. */
static void shut_guest(struct vsock_connection *connection)
{
	uint32_t flags = 0;

	if (connection->input_ended)
		flags |= VIRTIO_VSOCK_SHUTDOWN_SEND;
	if (connection->output_failed || (connection->input_ended && connection->hung_up))
		flags |= VIRTIO_VSOCK_SHUTDOWN_RCV;
	if (!(flags & ~connection->host_shutdown))
		return;
	connection->host_shutdown |= flags;
	vsock_want(connection, VIRTIO_VSOCK_OP_SHUTDOWN);
	/* The guest answers with a reset when its program is done, or it is not waited for. */
	if (connection->host_shutdown == VSOCK_SHUTDOWN_BOTH)
		vsock_set_deadline(connection, CLOSE_LIMIT_NS);
}

void vsock_proceed(struct vsock_connection *connection)
{
	if (connection->state == VSOCK_LINGER && !connection->buffer_bytes) {
		vsock_release(connection);
		return;
	}
	if (connection->state != VSOCK_OPEN)
		return;
	if (connection->guest_shutdown == VSOCK_SHUTDOWN_BOTH && !connection->buffer_bytes) {
		vsock_break(connection); /* the reset that the guest waits for */
		return;
	}
	shut_host(connection);
	shut_guest(connection);
	vsock_wait_for_input(connection);
}

/* ---- What the loop says ---- */

static void read_event(struct vsock_connection *connection, int result)
{
	switch (connection->state) {
	case VSOCK_LINE:
		read_line(connection);
		break;
	case VSOCK_OPEN:
		input_event(connection, result < 0 ? POLLERR : (uint32_t)result);
		break;
	default:
		vsock_reap(connection);
		break;
	}
}

static void read_done(struct loop_request *loop_request, int result)
{
	struct vsock_connection *connection =
		(struct vsock_connection *)((char *)loop_request -
					    offsetof(struct vsock_connection, read_poll));
	struct vsock *vsock = connection->vsock;

	lock(vsock);
	if (result != -ECANCELED || connection->state == VSOCK_DEAD)
		read_event(connection, result);
	vsock_after_event(vsock);
	unlock(vsock);
}

static void write_done(struct loop_request *loop_request, int result)
{
	struct vsock_connection *connection =
		(struct vsock_connection *)((char *)loop_request -
					    offsetof(struct vsock_connection, write_poll));
	struct vsock *vsock = connection->vsock;

	lock(vsock);
	if (connection->state == VSOCK_DEAD) {
		vsock_reap(connection);
	} else if (result != -ECANCELED &&
		   (connection->state == VSOCK_OPEN || connection->state == VSOCK_LINGER)) {
		flush(connection);
		vsock_proceed(connection);
	}
	vsock_after_event(vsock);
	unlock(vsock);
}

void vsock_connection_init(struct vsock_connection *connection)
{
	connection->read_poll.done = read_done;
	connection->write_poll.done = write_done;
}

/* ---- Deadlines ---- */

static void expire(struct vsock_connection *connection)
{
	switch (connection->state) {
	case VSOCK_LINE:
		give_up(connection);
		break;
	case VSOCK_REQUESTED:
		vsock_count(&connection->vsock->stats.refused, 1);
		vsock_break(connection);
		break;
	default:
		vsock_break(connection);
		break;
	}
}

static void timer_done(struct loop_request *loop_request, int result)
{
	struct vsock *vsock =
		(struct vsock *)((char *)loop_request - offsetof(struct vsock, timer));
	uint64_t now_ns = clock_ns();

	if (result == -ECANCELED)
		return;
	lock(vsock);
	vsock->accept_stalled = false;
	vsock_wait_for_clients(vsock);
	for (unsigned int i = 0; vsock->deadlines && i < VSOCK_CONNECTIONS_MAX; i++) {
		struct vsock_connection *connection = &vsock->connections[i];

		if (connection->deadline_ns && connection->deadline_ns <= now_ns)
			expire(connection);
	}
	vsock_after_event(vsock);
	unlock(vsock);
}

void vsock_after_event(struct vsock *vsock)
{
	vsock_release_orphans(vsock);
	if (vsock_rx_run(vsock))
		vsock->virtio.wiring.kick(vsock->virtio.wiring.opaque, VSOCK_QUEUE_RX);
	if (vsock->deadlines || vsock->accept_stalled)
		loop_timeout(vsock->loop, &vsock->timer, TICK_NS);
}

/* ---- Clients ---- */

void vsock_wait_for_clients(struct vsock *vsock)
{
	/* Without a free place they wait in the socket's backlog. */
	if (vsock->free && !vsock->accept_stalled)
		loop_poll(vsock->loop, &vsock->accept_poll, vsock->listen_fd, POLLIN);
}

static void accept_one(struct vsock *vsock, int fd)
{
	struct vsock_connection *connection = vsock_add(vsock, VSOCK_LINE, fd);

	if (!connection)
		return;
	vsock_set_deadline(connection, LINE_LIMIT_NS);
	read_line(connection);
}

static void accept_some(struct vsock *vsock)
{
	for (unsigned int i = 0; i < ACCEPTS_PER_RUN && vsock->free; i++) {
		int fd = accept4(vsock->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			accept_one(vsock, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN) {
			vsock->accept_stalled = true;
			log_limited(vsock->virtio.log, &vsock->virtio.log_limit, LOG_LEVEL_WARNING,
				    "vsock: cannot accept a connection: %s", error_name(errno));
		}
		break;
	}
	vsock_wait_for_clients(vsock);
}

static void accept_done(struct loop_request *loop_request, int result)
{
	struct vsock *vsock =
		(struct vsock *)((char *)loop_request - offsetof(struct vsock, accept_poll));

	if (result == -ECANCELED)
		return;
	lock(vsock);
	accept_some(vsock);
	vsock_after_event(vsock);
	unlock(vsock);
}

int vsock_connect(const struct vsock *vsock, uint32_t port)
{
	struct sockaddr_un address = vsock->address;
	size_t length = strlen(address.sun_path);
	int fd, ret;

	snprintf(address.sun_path + length, sizeof(address.sun_path) - length, "_%u", port);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	ret = -errno;
	fd_close(&fd);
	return ret;
}

void vsock_host_init(struct vsock *vsock)
{
	vsock->request_limit_ns = REQUEST_LIMIT_NS;
	vsock->accept_poll.done = accept_done;
	vsock->timer.done = timer_done;
}
