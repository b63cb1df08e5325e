/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_rx: packets to the guest: answers, requests, and what the host's programs send (virtio 1.3
 * section 5.10.6). */
#include <errno.h>
#include <poll.h>
#include <sys/uio.h>

#include "base/num.h"
#include "devices/vsock_device.h"

/* In this order, where several are wanted; a reset is alone. */
static const uint8_t operations[] = {
	VIRTIO_VSOCK_OP_RST,      VIRTIO_VSOCK_OP_REQUEST,       VIRTIO_VSOCK_OP_RESPONSE,
	VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_OP_CREDIT_UPDATE,
};

void vsock_ready(struct vsock_connection *connection)
{
	struct vsock *vsock = connection->vsock;

	if (connection->ready)
		return;
	connection->ready = true;
	connection->next_ready = NULL;
	if (vsock->ready_first)
		vsock->ready_last->next_ready = connection;
	else
		vsock->ready_first = connection;
	vsock->ready_last = connection;
}

void vsock_want(struct vsock_connection *connection, unsigned int operation)
{
	connection->operations |= (uint16_t)(1u << operation);
	vsock_ready(connection);
}

bool vsock_refuse(struct vsock *vsock, const struct vsock_refusal *refusal)
{
	uint32_t slot = (vsock->first_refusal + vsock->refusal_count) % VSOCK_REFUSALS_MAX;

	if (vsock->refusal_count == VSOCK_REFUSALS_MAX)
		return false;
	vsock->refusals[slot] = *refusal;
	vsock->refusal_count++;
	return true;
}

/* 5.10.6.3: how much the guest has room for. What it claims may be nonsense; that is its loss. */
uint32_t vsock_credit(const struct vsock_connection *connection)
{
	uint32_t in_flight = connection->sent - connection->guest_forwarded;

	return in_flight < connection->guest_buffer_bytes
		       ? connection->guest_buffer_bytes - in_flight
		       : 0;
}

/* ---- One packet ---- */

static void fill_header(const struct vsock *vsock, struct virtio_vsock_hdr *header,
			uint32_t host_port, uint32_t guest_port, uint16_t operation)
{
	*header = (struct virtio_vsock_hdr){
		.src_cid = htole64(VSOCK_HOST_CID),
		.dst_cid = htole64(vsock->guest_cid),
		.src_port = htole32(host_port),
		.dst_port = htole32(guest_port),
		.type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
		.op = htole16(operation),
	};
}

static void push(struct vsock *vsock, const struct virtio_vsock_hdr *header, uint32_t bytes)
{
	virtq_write(&vsock->chain, 0, header, sizeof(*header));
	virtq_push(&vsock->virtio.queues[VSOCK_QUEUE_RX], vsock->chain.head,
		   (uint32_t)sizeof(*header) + bytes);
}

static void push_of(struct vsock_connection *connection, uint16_t operation, uint32_t flags,
		    uint32_t bytes)
{
	struct virtio_vsock_hdr header;

	fill_header(connection->vsock, &header, connection->host_port, connection->guest_port,
		    operation);
	header.len = htole32(bytes);
	header.flags = htole32(flags);
	header.buf_alloc = htole32(VSOCK_BUFFER_BYTES);
	header.fwd_cnt = htole32(connection->forwarded);
	connection->forwarded_told = connection->forwarded;
	push(connection->vsock, &header, bytes);
}

static void send_refusal(struct vsock *vsock)
{
	const struct vsock_refusal *refusal = &vsock->refusals[vsock->first_refusal];
	struct virtio_vsock_hdr header;

	fill_header(vsock, &header, refusal->host_port, refusal->guest_port, VIRTIO_VSOCK_OP_RST);
	header.type = htole16(refusal->type);
	push(vsock, &header, 0);
	vsock->first_refusal = (vsock->first_refusal + 1) % VSOCK_REFUSALS_MAX;
	vsock->refusal_count--;
	vsock_count(&vsock->stats.resets, 1);
}

static void send_operation(struct vsock_connection *connection)
{
	unsigned int i = 0, operation;

	while (!(connection->operations & 1u << operations[i]))
		i++;
	operation = operations[i];
	connection->operations &= (uint16_t) ~(1u << operation);
	push_of(connection, (uint16_t)operation,
		operation == VIRTIO_VSOCK_OP_SHUTDOWN ? connection->host_shutdown : 0, 0);
	if (operation == VIRTIO_VSOCK_OP_RST) {
		vsock_count(&connection->vsock->stats.resets, 1);
		vsock_release(connection);
	}
}

/* False where there was nothing to send after all, and the chain was given back. */
static bool send_data(struct vsock_connection *connection)
{
	struct vsock *vsock = connection->vsock;
	struct iovec iov[VIRTQ_SIZE_MAX];
	size_t wanted = num_min(vsock_credit(connection), VSOCK_PACKET_BYTES);
	unsigned int count = vsock_slice(iov, vsock->chain.iov, vsock->chain.writable,
					 VSOCK_HEADER_BYTES, wanted, &wanted);
	ssize_t got = wanted ? readv(connection->fd, iov, (int)count) : -1;

	if (got > 0) {
		connection->sent += (uint32_t)got;
		vsock_count(&vsock->stats.to_guest_bytes, (uint64_t)got);
		push_of(connection, VIRTIO_VSOCK_OP_RW, 0, (uint32_t)got);
		/* Less than there was room for: there is no more at the moment. */
		connection->readable = (size_t)got == wanted;
		vsock_wait_for_input(connection);
		return true;
	}
	virtq_unpop(&vsock->virtio.queues[VSOCK_QUEUE_RX]);
	connection->readable = false;
	if (wanted && (got == 0 || (errno != EAGAIN && errno != EINTR)))
		connection->input_ended = true;
	vsock_proceed(connection);
	return false;
}

/* ---- Many ---- */

static bool has_something(const struct vsock *vsock)
{
	return vsock->refusal_count || vsock->ready_first;
}

/* Whether this one has something to send, given its credit. */
static bool is_sending(const struct vsock_connection *connection)
{
	return connection->operations || (connection->state == VSOCK_OPEN && connection->readable &&
					  vsock_credit(connection));
}

static void send_next(struct vsock *vsock)
{
	struct vsock_connection *connection = vsock->ready_first;

	if (vsock->refusal_count) {
		send_refusal(vsock);
		return;
	}
	if (connection->operations)
		send_operation(connection);
	else
		send_data(connection);
}

/* The first of the list that sends; others leave it. After its turn it goes to the end. */
static bool find_next(struct vsock *vsock)
{
	while (!vsock->refusal_count && vsock->ready_first && !is_sending(vsock->ready_first)) {
		vsock->ready_first->ready = false;
		vsock->ready_first = vsock->ready_first->next_ready;
	}
	return has_something(vsock);
}

static void rotate(struct vsock *vsock, struct vsock_connection *first)
{
	if (!first || vsock->ready_first != first)
		return; /* it was released */
	vsock->ready_first = first->next_ready;
	first->ready = false;
	if (is_sending(first))
		vsock_ready(first);
}

static bool take_chain(struct vsock *vsock)
{
	if (!virtio_pop(&vsock->virtio, VSOCK_QUEUE_RX, &vsock->chain))
		return false;
	if (!vsock->chain.readable && vsock->chain.writable_bytes > VSOCK_HEADER_BYTES)
		return true;
	virtio_needs_reset(&vsock->virtio, "receive buffer");
	return false;
}

bool vsock_rx_run(struct vsock *vsock)
{
	struct virtq *q = &vsock->virtio.queues[VSOCK_QUEUE_RX];
	unsigned int budget = VSOCK_PACKETS_PER_RUN;

	if (!vsock_queue_runs(vsock, VSOCK_QUEUE_RX))
		return false;
	virtq_kicks_off(q);
	while (budget && find_next(vsock)) {
		struct vsock_connection *first = vsock->refusal_count ? NULL : vsock->ready_first;

		if (!take_chain(vsock)) {
			/* The guest's next buffers bring a kick. */
			if (!vsock_queue_runs(vsock, VSOCK_QUEUE_RX) || !virtq_kicks_on(q))
				break;
			budget--;
			continue;
		}
		budget--;
		send_next(vsock);
		rotate(vsock, first);
	}
	if (vsock->sending_stopped && vsock->refusal_count < VSOCK_REFUSALS_MAX / 2) {
		vsock->sending_stopped = false;
		vsock->virtio.wiring.kick(vsock->virtio.wiring.opaque, VSOCK_QUEUE_TX);
	}
	virtio_interrupt(&vsock->virtio, VSOCK_QUEUE_RX);
	return !budget;
}
