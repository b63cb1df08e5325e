/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_tx: packets from the guest (virtio 1.3 section 5.10.6): checked, then given to their
 * connection. */
#include <unistd.h>

#include "base/num.h"
#include "devices/vsock_device.h"

static void decode(struct virtio_vsock_hdr *header)
{
	header->src_cid = le64toh(header->src_cid);
	header->dst_cid = le64toh(header->dst_cid);
	header->src_port = le32toh(header->src_port);
	header->dst_port = le32toh(header->dst_port);
	header->len = le32toh(header->len);
	header->type = le16toh(header->type);
	header->op = le16toh(header->op);
	header->flags = le32toh(header->flags);
	header->buf_alloc = le32toh(header->buf_alloc);
	header->fwd_cnt = le32toh(header->fwd_cnt);
}

/* There is room for it: looked at before the packet was popped. A reset is not answered. */
static void refuse(struct vsock *vsock, const struct virtio_vsock_hdr *header)
{
	const struct vsock_refusal refusal = {
		.host_port = header->dst_port,
		.guest_port = header->src_port,
		.type = header->type,
	};

	if (header->op != VIRTIO_VSOCK_OP_RST)
		vsock_refuse(vsock, &refusal);
}

/* A program of the guest connects to one of the host. */
static void on_request(struct vsock *vsock, const struct virtio_vsock_hdr *header)
{
	struct vsock_connection *connection;
	int fd = vsock_connect(vsock, header->dst_port);

	connection = fd < 0 ? NULL : vsock_add(vsock, VSOCK_OPEN, fd);
	if (!connection) {
		vsock_count(&vsock->stats.refused, 1);
		refuse(vsock, header);
		return;
	}
	vsock_name(connection, header->dst_port, header->src_port);
	connection->guest_buffer_bytes = header->buf_alloc;
	connection->guest_forwarded = header->fwd_cnt;
	vsock_count(&vsock->stats.connections, 1);
	vsock_want(connection, VIRTIO_VSOCK_OP_RESPONSE);
	vsock_wait_for_input(connection);
}

/* 5.10.6.3: the guest may send no more than it has credit for, and nothing after it said so. */
static void on_data(struct vsock_connection *connection, const struct virtio_vsock_hdr *header)
{
	const struct virtq_chain *chain = &connection->vsock->chain;

	if (header->len > chain->readable_bytes - VSOCK_HEADER_BYTES ||
	    header->len > VSOCK_BUFFER_BYTES - connection->buffer_bytes ||
	    connection->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) {
		vsock_break(connection);
		return;
	}
	connection->received += header->len;
	vsock_to_host(connection, chain, header->len);
}

/* Also where the guest gave up waiting for the host to take the rest of a stream that had ended in
 * order: the host still gets it. */
static void on_reset(struct vsock_connection *connection)
{
	if (connection->state == VSOCK_OPEN && connection->buffer_bytes &&
	    connection->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) {
		vsock_linger(connection);
		return;
	}
	if (connection->state == VSOCK_REQUESTED)
		vsock_count(&connection->vsock->stats.refused, 1);
	vsock_release(connection);
}

static void on_open(struct vsock_connection *connection, const struct virtio_vsock_hdr *header)
{
	switch (header->op) {
	case VIRTIO_VSOCK_OP_RW:
		on_data(connection, header);
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		connection->guest_shutdown |= header->flags & VSOCK_SHUTDOWN_BOTH;
		vsock_proceed(connection);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		vsock_wait_for_input(connection);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		vsock_want(connection, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
		break;
	default:
		vsock_break(connection);
		break;
	}
}

static void on_packet(struct vsock_connection *connection, const struct virtio_vsock_hdr *header)
{
	connection->guest_buffer_bytes = header->buf_alloc;
	connection->guest_forwarded = header->fwd_cnt;
	if (header->op == VIRTIO_VSOCK_OP_RST) {
		on_reset(connection);
		return;
	}
	switch (connection->state) {
	case VSOCK_REQUESTED:
		if (header->op == VIRTIO_VSOCK_OP_RESPONSE)
			vsock_accepted(connection);
		else
			vsock_break(connection);
		break;
	case VSOCK_OPEN:
		on_open(connection, header);
		if (connection->state == VSOCK_OPEN && vsock_credit(connection))
			vsock_wait_for_input(connection);
		break;
	default:
		break; /* it is over; the guest hears of it or knows */
	}
}

/* 5.10.6.4: what is not for us, or not from its own address, is nobody's; what is of no known type
 * or connection is refused. */
static void take_packet(struct vsock *vsock)
{
	struct virtio_vsock_hdr header;
	struct vsock_connection *connection;

	if (virtq_read(&vsock->chain, 0, &header, sizeof(header)) != sizeof(header))
		return;
	decode(&header);
	if (header.src_cid != vsock->guest_cid || header.dst_cid != VSOCK_HOST_CID)
		return;
	if (header.type != VIRTIO_VSOCK_TYPE_STREAM) {
		refuse(vsock, &header);
		return;
	}
	connection = vsock_find(vsock, header.dst_port, header.src_port);
	if (connection)
		on_packet(connection, &header);
	else if (header.op == VIRTIO_VSOCK_OP_REQUEST)
		on_request(vsock, &header);
	else
		refuse(vsock, &header);
}

/* Each packet may need a refusal: while there is no room for one, none is taken (5.10.6.1.1 allows
 * that); vsock_rx_run() makes room, when the guest gives it buffers. */
static bool has_room(const struct vsock *vsock)
{
	return vsock->refusal_count < VSOCK_REFUSALS_MAX;
}

bool vsock_tx_run(struct vsock *vsock)
{
	struct virtq *q = &vsock->virtio.queues[VSOCK_QUEUE_TX];
	unsigned int budget = VSOCK_PACKETS_PER_RUN;

	if (!vsock_queue_runs(vsock, VSOCK_QUEUE_TX))
		return false;
	do {
		virtq_kicks_off(q);
		while (budget && has_room(vsock) &&
		       virtio_pop(&vsock->virtio, VSOCK_QUEUE_TX, &vsock->chain)) {
			take_packet(vsock);
			virtq_push(q, vsock->chain.head, 0);
			budget--;
		}
	} while (budget && has_room(vsock) && vsock_queue_runs(vsock, VSOCK_QUEUE_TX) &&
		 virtq_kicks_on(q));
	vsock->sending_stopped = !has_room(vsock);
	virtio_interrupt(&vsock->virtio, VSOCK_QUEUE_TX);
	return !budget;
}
