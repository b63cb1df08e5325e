/* SPDX-License-Identifier: Apache-2.0 */
/* net_rx: receiving: from the backend straight into the driver's buffers (virtio 1.3 section
 * 5.1.6.3, 5.1.6.4). */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "devices/net_device.h"

#define NUM_BUFFERS offsetof(struct virtio_net_hdr_v1, num_buffers)

static struct virtq *queue_of(const struct net_pair *pair)
{
	return &pair->net->virtio.queues[(size_t)2 * pair->index];
}

/* ---- The window ---- */

static struct iovec *first_buffer(struct net_window *window)
{
	return window->iov + window->first_buffer;
}

static bool is_roomy(const struct net_window *window)
{
	return window->buffers + VIRTQ_SIZE_MAX <= NET_WINDOW_BUFFERS &&
	       window->chain_count < NET_QUEUE_SIZE;
}

/* Moves what there is to the front where it would else reach the end. */
static void compact(struct net_window *window)
{
	if (window->first_buffer + window->buffers + VIRTQ_SIZE_MAX <= NET_WINDOW_BUFFERS &&
	    window->first_chain + window->chain_count < NET_QUEUE_SIZE)
		return;
	memmove(window->iov, first_buffer(window), window->buffers * sizeof(*window->iov));
	memmove(window->chains, window->chains + window->first_chain,
		window->chain_count * sizeof(*window->chains));
	window->first_buffer = window->first_chain = 0;
}

static void append_buffer(struct net_window *window, const struct iovec *buffer)
{
	struct iovec *end = first_buffer(window) + window->buffers;

	if (window->buffers && (uint8_t *)end[-1].iov_base + end[-1].iov_len == buffer->iov_base) {
		end[-1].iov_len += buffer->iov_len;
		return;
	}
	*end = *buffer;
	window->buffers++;
}

static void append(struct net_window *window, const struct virtq_chain *chain)
{
	compact(window);
	for (unsigned int i = 0; i < chain->writable; i++)
		append_buffer(window, &chain->iov[i]);
	window->chains[window->first_chain + window->chain_count] =
		(struct net_window_chain){ .head = chain->head, .bytes = chain->writable_bytes };
	window->bytes += chain->writable_bytes;
	window->chain_count++;
}

/* Takes so many bytes, which are there, off the front. */
static void drop(struct net_window *window, uint64_t bytes)
{
	window->bytes -= bytes;
	while (bytes) {
		struct iovec *iov = first_buffer(window);
		size_t part = num_min(bytes, iov->iov_len);

		iov->iov_base = (uint8_t *)iov->iov_base + part;
		iov->iov_len -= part;
		bytes -= part;
		if (!iov->iov_len) {
			window->first_buffer++;
			window->buffers--;
		}
	}
}

/* The largest packet that may come, given what the driver accepted (5.1.6.3.1). Without merging a
 * packet has one chain, whatever its size. */
static uint64_t bytes_wanted(const struct net *net)
{
	const uint64_t segmented =
		VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO6) |
		VIRTIO_FEATURE(NET_F_GUEST_USO4) | VIRTIO_FEATURE(NET_F_GUEST_USO6);

	if (!virtio_has_feature(&net->virtio, VIRTIO_NET_F_MRG_RXBUF))
		return 1;
	if (net->virtio.accepted & segmented)
		return NET_PACKET_BYTES_MAX;
	return NET_HEADER_BYTES + net->backend->frame_bytes;
}

/* False where the driver has not enough buffers yet. True with less than wanted where no more fit:
 * then the rest would be no help either. */
static bool fill_window(struct net_pair *pair)
{
	struct net *net = pair->net;
	struct net_window *window = &pair->window;
	uint64_t wanted = bytes_wanted(net);

	while (window->bytes < wanted && is_roomy(window)) {
		if (!virtio_pop(&net->virtio, 2 * pair->index, &net->chain))
			return false;
		if (net->chain.readable || net->chain.writable_bytes < NET_HEADER_BYTES) {
			virtio_needs_reset(&net->virtio, "receive buffer");
			return false;
		}
		append(window, &net->chain);
	}
	return true;
}

/* ---- Giving a packet to the driver ---- */

/* One element of the used ring, to be shown later: ahead counts from the next one. */
static void put_used(const struct virtq *q, uint32_t ahead, uint16_t head, uint32_t bytes)
{
	uint32_t slot = (q->next_used + ahead) & (q->size - 1u);
	struct vring_used_elem *ring = (struct vring_used_elem *)(q->device_area + 4);

	__atomic_store_n(&ring[slot].id, htole32(head), __ATOMIC_RELAXED);
	__atomic_store_n(&ring[slot].len, htole32(bytes), __ATOMIC_RELAXED);
}

/* 5.1.6.4.1: all buffers of one packet are shown at once. Pairs with the driver's barrier after it
 * read the index (2.7.14). */
static void show_used(struct virtq *q, uint32_t count)
{
	q->next_used += (uint16_t)count;
	__atomic_store_n((uint16_t *)(q->device_area + 2), htole16(q->next_used), __ATOMIC_RELEASE);
}

/* The backend leaves num_buffers to us. The header may be cut into buffers anywhere. */
static void put_num_buffers(struct net_window *window, uint16_t count)
{
	const struct iovec *iov = first_buffer(window);
	uint8_t bytes[2];
	size_t offset = NUM_BUFFERS;

	store_le16(bytes, count);
	for (unsigned int i = 0; i < sizeof(bytes); i++, offset++) {
		while (offset >= iov->iov_len)
			offset -= iov++->iov_len;
		((uint8_t *)iov->iov_base)[offset] = bytes[i];
	}
}

static uint32_t chains_for(const struct net_window *window, uint64_t bytes)
{
	const struct net_window_chain *chain = window->chains + window->first_chain;
	uint64_t room = chain->bytes;
	uint32_t count = 1;

	while (room < bytes)
		room += chain[count++].bytes;
	return count;
}

/* bytes of a packet lie at the front of the window, header included, and fit into it. */
static void deliver(struct net_pair *pair, uint64_t bytes)
{
	struct net *net = pair->net;
	struct net_window *window = &pair->window;
	struct virtq *q = queue_of(pair);
	uint32_t count = chains_for(window, bytes);
	uint64_t room = 0;

	net_count(&net->stats.received, 1);
	net_count(&net->stats.received_bytes, bytes - NET_HEADER_BYTES);
	net_limit_take(&net->receive_limit, bytes - NET_HEADER_BYTES);
	put_num_buffers(window, (uint16_t)count);
	for (uint32_t i = 0; i < count; i++) {
		const struct net_window_chain *chain = &window->chains[window->first_chain++];
		uint32_t filled = (uint32_t)num_min(bytes, chain->bytes);

		put_used(q, i, chain->head, filled);
		bytes -= filled;
		room += chain->bytes;
	}
	window->chain_count -= count;
	drop(window, room);
	show_used(q, count);
}

/* ---- Taking a packet from the backend ---- */

enum step {
	STEP_GO_ON,
	STEP_NO_PACKET,  /* until the backend's descriptor is readable */
	STEP_NO_BUFFERS, /* until the driver adds some */
	STEP_GONE,
};

static enum step backend_error(struct net *net, ssize_t result)
{
	if (result == -EAGAIN)
		return STEP_NO_PACKET;
	net_backend_gone(net, result < 0 ? (int)-result : ENOLINK);
	return STEP_GONE;
}

static bool is_merging(const struct net *net)
{
	return virtio_has_feature(&net->virtio, VIRTIO_NET_F_MRG_RXBUF);
}

/* Into all buffers of the window: what the next packet will need, whatever its size. */
static enum step receive_direct(struct net_pair *pair)
{
	struct net *net = pair->net;
	struct net_window *window = &pair->window;
	struct iovec *iov = first_buffer(window);
	uint8_t beyond;
	ssize_t got;

	/* Without merging the window is one chain. */
	iov[window->buffers] = (struct iovec){ .iov_base = &beyond, .iov_len = 1 };
	got = net->backend->ops->receive(net->backend, pair->index, iov, window->buffers + 1);
	if (got < NET_HEADER_BYTES)
		return backend_error(net, got);
	pair->is_large = (uint64_t)got > window->chains[window->first_chain].bytes;
	if ((uint64_t)got > window->bytes)
		net_count(&net->stats.receive_dropped, 1);
	else
		deliver(pair, (uint64_t)got);
	return STEP_GO_ON;
}

/* From a place on; there is room. */
static void copy_to_window(struct net_window *window, uint64_t at, const uint8_t *data,
			   size_t bytes)
{
	const struct iovec *iov = first_buffer(window);

	for (; bytes; iov++) {
		size_t part;

		if (at >= iov->iov_len) {
			at -= iov->iov_len;
			continue;
		}
		part = num_min(bytes, iov->iov_len - at);
		memcpy((uint8_t *)iov->iov_base + at, data, part);
		at = 0;
		data += part;
		bytes -= part;
	}
}

/*
 * Reads into the first bytes of the window and then the spare place. The buffer in which they end
 * is cut there for the time of the read.
 */
static ssize_t receive_at_front(struct net_pair *pair, uint64_t bytes)
{
	struct net *net = pair->net;
	struct iovec *iov = first_buffer(&pair->window), *end = iov;
	struct iovec last, behind;
	ssize_t got;

	for (; bytes > end->iov_len; end++)
		bytes -= end->iov_len;
	last = end[0];
	behind = end[1];
	end[0].iov_len = bytes;
	end[1] = (struct iovec){ pair->spare, NET_PACKET_BYTES_MAX };
	got = net->backend->ops->receive(net->backend, pair->index, iov,
					 (unsigned int)(end - iov) + 2);
	end[0] = last;
	end[1] = behind;
	return got;
}

/*
 * Into the first chain, with a place of our own behind it. Handing the kernel a window of a
 * segmentation offload's size costs more than a small packet itself; and after a small one comes
 * mostly another one. Where not, the rest is copied, once.
 */
static enum step receive_small(struct net_pair *pair)
{
	struct net *net = pair->net;
	struct net_window *window = &pair->window;
	uint32_t room = window->chains[window->first_chain].bytes;
	ssize_t got = receive_at_front(pair, room);

	if (got < NET_HEADER_BYTES)
		return backend_error(net, got);
	if ((uint64_t)got > window->bytes) {
		net_count(&net->stats.receive_dropped, 1);
		return STEP_GO_ON;
	}
	if ((uint64_t)got > room) {
		pair->is_large = true;
		copy_to_window(window, room, pair->spare, (size_t)got - room);
	}
	deliver(pair, (uint64_t)got);
	return STEP_GO_ON;
}

/*
 * There are buffers, but fewer than the largest packet would need: it is read to a place of our
 * own first, and waits there for more buffers where it is too large. Else a driver with few or
 * small buffers would get nothing for ever.
 */
static enum step receive_spare(struct net_pair *pair)
{
	struct net *net = pair->net;
	struct iovec iov = { .iov_base = pair->spare, .iov_len = NET_PACKET_BYTES_MAX };
	ssize_t got = net->backend->ops->receive(net->backend, pair->index, &iov, 1);

	if (got < NET_HEADER_BYTES)
		return backend_error(net, got);
	pair->spare_bytes = (uint32_t)got;
	return STEP_GO_ON;
}

static enum step deliver_spare(struct net_pair *pair, bool is_full)
{
	struct net_window *window = &pair->window;
	bool fits = window->chain_count && pair->spare_bytes <= window->bytes;

	/* With all that the driver can ever offer in view, waiting would be for ever. */
	if (!fits && !is_full && window->chain_count < queue_of(pair)->size)
		return STEP_NO_BUFFERS;
	if (fits) {
		copy_to_window(window, 0, pair->spare, pair->spare_bytes);
		deliver(pair, pair->spare_bytes);
	} else {
		net_count(&pair->net->stats.receive_dropped, 1);
	}
	pair->spare_bytes = 0;
	return STEP_GO_ON;
}

static enum step receive_one(struct net_pair *pair)
{
	bool is_full = fill_window(pair);
	enum step step;

	if (!pair->spare_bytes) {
		if (!pair->window.chain_count)
			return STEP_NO_BUFFERS;
		if (is_full && is_merging(pair->net) && !pair->is_large)
			return receive_small(pair);
		if (is_full || !is_merging(pair->net))
			return receive_direct(pair);
		step = receive_spare(pair);
		if (step != STEP_GO_ON)
			return step;
	}
	return deliver_spare(pair, is_full);
}

/* ---- When ---- */

static void run_soon(struct net_pair *pair)
{
	const struct virtio_wiring *wiring = &pair->net->virtio.wiring;

	wiring->kick(wiring->opaque, 2 * pair->index);
}

/* Watched already, or the loop is ending: both are fine. An event comes for whatever arrives after
 * the -EAGAIN that leads here. */
static void wait_for_packet(struct net_pair *pair)
{
	struct net *net = pair->net;
	int fd = net->backend->ops->fd(net->backend, pair->index);

	if (loop_watch(net->loop, &pair->receive_watch, fd) == -EAGAIN)
		run_soon(pair);
}

/* True where the rate limit says so; a timer goes on with it. */
static bool wait_for_rate(struct net_pair *pair)
{
	struct net *net = pair->net;
	uint64_t wait_ns = net_limit_wait_ns(&net->receive_limit);

	if (!wait_ns)
		return false;
	net_count(&net->stats.rate_waits, 1);
	if (loop_timeout(net->loop, &pair->receive_timer, wait_ns) == -EAGAIN)
		run_soon(pair);
	return true;
}

/*
 * Ends with something that goes on with it: the watch, after -EAGAIN only; the timer; the driver's
 * kick; or the caller. What was consumed without progress is never left to nobody.
 */
static bool run(struct net_pair *pair)
{
	struct net *net = pair->net;
	struct virtq *q = queue_of(pair);
	unsigned int budget = NET_PACKETS_PER_RUN;

	virtq_kicks_off(q);
	while (budget--) {
		if (wait_for_rate(pair))
			return false;
		switch (receive_one(pair)) {
		case STEP_GO_ON:
			break;
		case STEP_NO_PACKET:
			wait_for_packet(pair);
			return false;
		case STEP_NO_BUFFERS:
			if (!net_queue_runs(net, 2 * pair->index))
				return false;
			if (virtq_kicks_on(q))
				break; /* some came just now */
			net_count(&net->stats.receive_waits, 1);
			return false;
		case STEP_GONE:
			return false;
		}
	}
	return true;
}

bool net_receive_run(struct net_pair *pair)
{
	struct net *net = pair->net;
	bool more;

	if (pair->receive_timer.pending || net->gone || pair->index >= net->active_pairs ||
	    !net_queue_runs(net, 2 * pair->index))
		return false;
	more = run(pair);
	virtio_interrupt(&net->virtio, 2 * pair->index);
	return more;
}

static void go_on(struct net_pair *pair)
{
	struct virtio *virtio = &pair->net->virtio;

	pthread_mutex_lock(virtio->lock);
	if (net_receive_run(pair))
		run_soon(pair);
	pthread_mutex_unlock(virtio->lock);
}

static void watch_done(struct loop_request *request, int result)
{
	if (result != -ECANCELED)
		go_on((struct net_pair *)((char *)request -
					  offsetof(struct net_pair, receive_watch)));
}

static void timer_done(struct loop_request *request, int result)
{
	if (result != -ECANCELED)
		go_on((struct net_pair *)((char *)request -
					  offsetof(struct net_pair, receive_timer)));
}

int net_receive_init(struct net_pair *pair)
{
	pair->receive_watch.done = watch_done;
	pair->receive_timer.done = timer_done;
	pair->spare = malloc(NET_PACKET_BYTES_MAX);
	return pair->spare ? 0 : -ENOMEM;
}

void net_receive_reset(struct net_pair *pair)
{
	struct net_window *window = &pair->window;

	window->first_buffer = window->buffers = 0;
	window->first_chain = window->chain_count = 0;
	window->bytes = 0;
	pair->spare_bytes = 0;
}

void net_receive_fini(struct net_pair *pair)
{
	free(pair->spare);
}
