/* SPDX-License-Identifier: Apache-2.0 */
/* net_tx: sending: the driver's buffers go to the backend as they are (virtio 1.3 section 5.1.6.2).
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <poll.h>
#include <stddef.h>

#include "devices/net_device.h"

static unsigned int queue_of(const struct net_pair *pair)
{
	return 2 * pair->index + 1;
}

static void run_soon(struct net_pair *pair)
{
	const struct virtio_wiring *wiring = &pair->net->virtio.wiring;

	wiring->kick(wiring->opaque, queue_of(pair));
}

/* Already armed, or the loop is ending: both are fine. Where it cannot be armed the queue's next
 * turn tries again. */
static void wait_for_room(struct net_pair *pair)
{
	struct net *net = pair->net;
	int fd = net->backend->ops->fd(net->backend, pair->index);

	if (loop_poll(net->loop, &pair->send_poll, fd, POLLOUT) != -EAGAIN)
		return;
	pair->send_blocked = false;
	run_soon(pair);
}

static bool wait_for_rate(struct net_pair *pair)
{
	struct net *net = pair->net;
	uint64_t wait_ns = net_limit_wait_ns(&net->send_limit);

	if (!wait_ns)
		return false;
	net_count(&net->stats.rate_waits, 1);
	if (loop_timeout(net->loop, &pair->send_timer, wait_ns) == -EAGAIN)
		run_soon(pair);
	return true;
}

static bool is_packet(const struct virtq_chain *chain)
{
	return chain->readable_bytes >= NET_HEADER_BYTES + ETH_HLEN &&
	       chain->readable_bytes <= NET_PACKET_BYTES_MAX;
}

/* A packet that cannot be sent is lost, as on any network. -EAGAIN and -ENOLINK as the backend's
 * send(), with nothing taken. */
static int send_one(struct net_pair *pair)
{
	struct net *net = pair->net;
	const struct virtq_chain *chain = &net->chain;
	uint32_t bytes = chain->readable_bytes - NET_HEADER_BYTES;
	int ret = -EINVAL;

	if (is_packet(chain))
		ret = net->backend->ops->send(net->backend, pair->index, chain->iov,
					      chain->readable);
	if (ret == -EAGAIN || ret == -ENOLINK)
		return ret;
	if (ret) {
		net_count(&net->stats.send_dropped, 1);
	} else {
		net_count(&net->stats.sent, 1);
		net_count(&net->stats.sent_bytes, bytes);
		net_limit_take(&net->send_limit, bytes);
	}
	virtq_push(&net->virtio.queues[queue_of(pair)], chain->head, 0);
	return 0;
}

/* False where nothing more can be sent now; what goes on with it is armed then. */
static bool send_some(struct net_pair *pair, unsigned int *budget)
{
	struct net *net = pair->net;

	while (*budget) {
		if (wait_for_rate(pair))
			return false;
		if (!virtio_pop(&net->virtio, queue_of(pair), &net->chain))
			return true;
		(*budget)--;
		switch (send_one(pair)) {
		case -EAGAIN:
			virtq_unpop(&net->virtio.queues[queue_of(pair)]);
			net_count(&net->stats.send_waits, 1);
			pair->send_blocked = true;
			wait_for_room(pair);
			return false;
		case -ENOLINK:
			virtq_push(&net->virtio.queues[queue_of(pair)], net->chain.head, 0);
			net_backend_gone(net, ENOLINK);
			return false;
		default:
			break;
		}
	}
	return true;
}

bool net_send_run(struct net_pair *pair)
{
	struct net *net = pair->net;
	const struct net_backend_ops *ops = net->backend->ops;
	struct virtq *q = &net->virtio.queues[queue_of(pair)];
	unsigned int budget = NET_PACKETS_PER_RUN;
	bool go_on;

	if (pair->send_blocked || pair->send_timer.pending || net->gone ||
	    pair->index >= net->active_pairs || !net_queue_runs(net, queue_of(pair)))
		return false;
	do {
		virtq_kicks_off(q);
		go_on = send_some(pair, &budget);
	} while (go_on && budget && net_queue_runs(net, queue_of(pair)) && virtq_kicks_on(q));
	if (ops->flush && ops->flush(net->backend, pair->index) == -EAGAIN)
		wait_for_room(pair);
	virtio_interrupt(&net->virtio, queue_of(pair));
	return go_on && !budget;
}

static void go_on(struct net_pair *pair)
{
	struct virtio *virtio = &pair->net->virtio;

	pthread_mutex_lock(virtio->lock);
	if (net_send_run(pair))
		run_soon(pair);
	pthread_mutex_unlock(virtio->lock);
}

static void poll_done(struct loop_request *request, int result)
{
	struct net_pair *pair =
		(struct net_pair *)((char *)request - offsetof(struct net_pair, send_poll));

	if (result == -ECANCELED)
		return;
	pair->send_blocked = false;
	go_on(pair);
}

static void timer_done(struct loop_request *request, int result)
{
	if (result != -ECANCELED)
		go_on((struct net_pair *)((char *)request - offsetof(struct net_pair, send_timer)));
}

void net_send_init(struct net_pair *pair)
{
	pair->send_poll.done = poll_done;
	pair->send_timer.done = timer_done;
}

void net_send_reset(struct net_pair *pair)
{
	pair->send_blocked = false;
}
