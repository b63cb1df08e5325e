/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_table: the connections of a socket device: places, ports, states and deadlines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "devices/vsock_device.h"

#define BUFFERS_BYTES   ((size_t)VSOCK_CONNECTIONS_MAX * VSOCK_BUFFER_BYTES)
/* Ports below are for people. */
#define HOST_PORT_FIRST (UINT32_C(1) << 30)

int vsock_table_init(struct vsock *vsock)
{
	vsock->next_host_port = HOST_PORT_FIRST;
	vsock->connections = calloc(VSOCK_CONNECTIONS_MAX, sizeof(*vsock->connections));
	if (!vsock->connections)
		return -ENOMEM;
	/* Address space only: memory comes when a host does not read as fast as the guest sends. */
	vsock->buffers = mmap(NULL, BUFFERS_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (vsock->buffers == MAP_FAILED) {
		vsock->buffers = NULL;
		return -ENOMEM;
	}
	for (unsigned int i = VSOCK_CONNECTIONS_MAX; i-- > 0;) {
		struct vsock_connection *connection = &vsock->connections[i];

		connection->vsock = vsock;
		connection->fd = -1;
		vsock_connection_init(connection);
		connection->next_in_bucket = vsock->free;
		vsock->free = connection;
	}
	return 0;
}

void vsock_table_fini(struct vsock *vsock)
{
	for (unsigned int i = 0; vsock->connections && i < VSOCK_CONNECTIONS_MAX; i++)
		fd_close(&vsock->connections[i].fd);
	free(vsock->connections);
	if (vsock->buffers)
		munmap(vsock->buffers, BUFFERS_BYTES);
}

uint8_t *vsock_buffer(const struct vsock_connection *connection)
{
	const struct vsock *vsock = connection->vsock;

	return vsock->buffers + (size_t)(connection - vsock->connections) * VSOCK_BUFFER_BYTES;
}

struct vsock_connection *vsock_add(struct vsock *vsock, enum vsock_state state, int fd)
{
	struct vsock_connection *connection = vsock->free;
	struct vsock_connection fresh = { .vsock = vsock, .state = state, .fd = fd };

	if (!connection) {
		fd_close(&fd);
		return NULL;
	}
	vsock->free = connection->next_in_bucket;
	*connection = fresh;
	vsock_connection_init(connection);
	return connection;
}

/* ---- By ports ---- */

static struct vsock_connection **bucket_of(struct vsock *vsock, uint32_t host_port,
					   uint32_t guest_port)
{
	uint32_t hash = (host_port * 31 + guest_port) * UINT32_C(2654435761);

	return &vsock->buckets[hash / (UINT32_MAX / VSOCK_HASH_BUCKETS + 1)];
}

void vsock_name(struct vsock_connection *connection, uint32_t host_port, uint32_t guest_port)
{
	struct vsock_connection **bucket = bucket_of(connection->vsock, host_port, guest_port);

	connection->host_port = host_port;
	connection->guest_port = guest_port;
	connection->next_in_bucket = *bucket;
	*bucket = connection;
}

struct vsock_connection *vsock_find(struct vsock *vsock, uint32_t host_port, uint32_t guest_port)
{
	struct vsock_connection *connection = *bucket_of(vsock, host_port, guest_port);

	while (connection &&
	       (connection->host_port != host_port || connection->guest_port != guest_port))
		connection = connection->next_in_bucket;
	return connection;
}

static void forget(struct vsock_connection *connection)
{
	struct vsock_connection **at =
		bucket_of(connection->vsock, connection->host_port, connection->guest_port);

	for (; *at; at = &(*at)->next_in_bucket) {
		if (*at == connection) {
			*at = connection->next_in_bucket;
			return;
		}
	}
}

uint32_t vsock_new_port(struct vsock *vsock, uint32_t guest_port)
{
	uint32_t port;

	/* Ends: there are fewer connections than ports. */
	do {
		port = vsock->next_host_port++;
		if (vsock->next_host_port == UINT32_MAX)
			vsock->next_host_port = HOST_PORT_FIRST;
	} while (vsock_find(vsock, port, guest_port));
	return port;
}

/* ---- Ends ---- */

void vsock_set_deadline(struct vsock_connection *connection, uint64_t ns)
{
	struct vsock *vsock = connection->vsock;

	vsock->deadlines -= connection->deadline_ns != 0;
	connection->deadline_ns = ns ? clock_ns() + ns : 0;
	vsock->deadlines += ns != 0;
}

static void leave_ready_list(struct vsock_connection *connection)
{
	struct vsock *vsock = connection->vsock;
	struct vsock_connection *before = NULL;

	if (!connection->ready)
		return;
	for (struct vsock_connection *at = vsock->ready_first; at != connection;
	     at = at->next_ready)
		before = at;
	if (before)
		before->next_ready = connection->next_ready;
	else
		vsock->ready_first = connection->next_ready;
	if (vsock->ready_last == connection)
		vsock->ready_last = before;
	connection->ready = false;
}

/* The host's side ends; polls come back by themselves or cancelled. */
static void cut_host(struct vsock_connection *connection)
{
	if (connection->read_poll.pending)
		loop_cancel(connection->vsock->loop, &connection->read_poll);
	if (connection->write_poll.pending)
		loop_cancel(connection->vsock->loop, &connection->write_poll);
	/* A poll that is still there would keep a socket that is only closed. */
	shutdown(connection->fd, SHUT_RDWR);
	fd_close(&connection->fd);
	if (connection->buffer_used)
		madvise(vsock_buffer(connection), VSOCK_BUFFER_BYTES, MADV_DONTNEED);
	connection->buffer_used = false;
	connection->buffer_bytes = 0;
	vsock_set_deadline(connection, 0);
}

void vsock_release(struct vsock_connection *connection)
{
	forget(connection);
	leave_ready_list(connection);
	cut_host(connection);
	connection->state = VSOCK_DEAD;
	vsock_reap(connection);
}

void vsock_linger(struct vsock_connection *connection)
{
	forget(connection);
	leave_ready_list(connection);
	connection->operations = 0;
	connection->state = VSOCK_LINGER;
}

void vsock_break(struct vsock_connection *connection)
{
	cut_host(connection);
	connection->state = VSOCK_RESET;
	connection->operations = 0;
	connection->readable = false;
	vsock_want(connection, VIRTIO_VSOCK_OP_RST);
}

void vsock_reap(struct vsock_connection *connection)
{
	struct vsock *vsock = connection->vsock;

	if (connection->state != VSOCK_DEAD || connection->read_poll.pending ||
	    connection->write_poll.pending)
		return;
	connection->state = VSOCK_FREE;
	connection->next_in_bucket = vsock->free;
	vsock->free = connection;
	vsock_wait_for_clients(vsock);
}

/* A driver resets the device when it begins: who asked for a guest that was not there yet is not to
 * lose by that. */
static bool is_unknown_to_guest(const struct vsock_connection *connection)
{
	return connection->state == VSOCK_LINE ||
	       (connection->state == VSOCK_REQUESTED &&
		connection->operations & 1u << VIRTIO_VSOCK_OP_REQUEST);
}

/* Requests can be cancelled on the loop's thread only; the host's programs need not wait for it. */
void vsock_orphan_all(struct vsock *vsock)
{
	vsock->ready_first = vsock->ready_last = NULL;
	vsock->refusal_count = 0;
	for (unsigned int i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct vsock_connection *connection = &vsock->connections[i];

		if (connection->state == VSOCK_FREE || connection->state == VSOCK_DEAD ||
		    connection->state == VSOCK_LINGER)
			continue;
		connection->ready = false;
		if (is_unknown_to_guest(connection)) {
			if (connection->operations)
				vsock_ready(connection);
			continue;
		}
		if (connection->state == VSOCK_OPEN && connection->buffer_bytes) {
			vsock_linger(connection);
			continue;
		}
		shutdown(connection->fd, SHUT_RDWR);
		connection->state = VSOCK_ORPHAN;
		connection->operations = 0;
		vsock->has_orphans = true;
	}
}

void vsock_release_orphans(struct vsock *vsock)
{
	if (!vsock->has_orphans)
		return;
	vsock->has_orphans = false;
	for (unsigned int i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		if (vsock->connections[i].state == VSOCK_ORPHAN)
			vsock_release(&vsock->connections[i]);
	}
}
