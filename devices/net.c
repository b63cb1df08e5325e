/* SPDX-License-Identifier: Apache-2.0 */
/* net: a virtio network device (virtio 1.3 section 5.1): what it is, its configuration, its control
 * queue. */
#include "devices/net.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "devices/net_device.h"

#define CONFIG_BYTES offsetof(struct virtio_net_config, speed)

/* Queues (5.1.2): receive 0, send 0, receive 1, ..., and the control queue behind the last. */
#define RECEIVE_QUEUE(pair) (2 * (pair))
#define SEND_QUEUE(pair)    (2 * (pair) + 1)

static struct net *to_net(struct virtio *virtio)
{
	return (struct net *)virtio;
}

bool net_queue_runs(const struct net *net, unsigned int queue)
{
	return !(net->virtio.status & VIRTIO_CONFIG_S_NEEDS_RESET) &&
	       virtq_running(&net->virtio.queues[queue]);
}

/* Without MQ there is one pair, and the control queue is the third (5.1.2). */
static unsigned int control_queue(const struct net *net)
{
	return virtio_has_feature(&net->virtio, VIRTIO_NET_F_MQ) ? 2u * net->backend->pairs : 2;
}

static bool has_control_queue(const struct net *net)
{
	return virtio_has_feature(&net->virtio, VIRTIO_NET_F_CTRL_VQ);
}

void net_backend_gone(struct net *net, int code)
{
	if (net->gone)
		return;
	net->gone = true;
	log_line(net->virtio.log, LOG_LEVEL_ERROR,
		 "net: the %s backend is gone (%s); the guest's link is down",
		 net->backend->ops->name, error_name(code));
	store_le16(net->virtio.config + offsetof(struct virtio_net_config, status), 0);
	virtio_config_changed(&net->virtio);
}

/* ---- Rate limits ---- */

uint64_t net_limit_ask(struct net_limit *limit)
{
	uint64_t now_ns = clock_ns();

	if (limit_open(&limit->bytes, now_ns) && limit_open(&limit->packets, now_ns))
		return 0;
	return num_max(limit_wait_ns(&limit->bytes), limit_wait_ns(&limit->packets));
}

void net_limit_take(struct net_limit *limit, uint64_t frame_bytes)
{
	limit_take(&limit->bytes, frame_bytes);
	limit_take(&limit->packets, 1);
}

static void init_limit(struct net_limit *limit, const struct net_rate *rate)
{
	uint64_t now_ns = clock_ns();

	limit_init(&limit->bytes, &rate->bytes, now_ns);
	limit_init(&limit->packets, &rate->packets, now_ns);
}

/* ---- Control queue (5.1.6.5) ---- */

/* 5.1.6.5.6.1: from 1 to what there is; the others are not used from the answer on. */
static uint8_t set_pairs(struct net *net, uint16_t pairs)
{
	struct net_backend *backend = net->backend;

	if (!virtio_has_feature(&net->virtio, VIRTIO_NET_F_MQ) || pairs < 1 ||
	    pairs > backend->pairs)
		return VIRTIO_NET_ERR;
	if (backend->ops->set_pairs && backend->ops->set_pairs(backend, pairs))
		return VIRTIO_NET_ERR;
	net->active_pairs = pairs;
	for (unsigned int queue = 0; queue < 2u * pairs; queue++) {
		if (net_queue_runs(net, queue))
			net->virtio.wiring.kick(net->virtio.wiring.opaque, queue);
	}
	return VIRTIO_NET_OK;
}

static uint8_t execute(struct net *net)
{
	struct virtio_net_ctrl_hdr header;
	uint8_t pairs[2];

	if (virtq_read(&net->chain, 0, &header, sizeof(header)) != sizeof(header))
		return VIRTIO_NET_ERR;
	if (header.class != VIRTIO_NET_CTRL_MQ || header.cmd != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET)
		return VIRTIO_NET_ERR;
	if (virtq_read(&net->chain, sizeof(header), pairs, sizeof(pairs)) != sizeof(pairs))
		return VIRTIO_NET_ERR;
	return set_pairs(net, load_le16(pairs));
}

static bool control_run(struct net *net, unsigned int queue)
{
	struct virtq *q = virtio_queue(&net->virtio, queue);
	unsigned int budget = NET_PACKETS_PER_RUN;

	do {
		virtq_kicks_off(q);
		while (budget && virtio_pop(&net->virtio, queue, &net->chain)) {
			uint8_t answer = execute(net);

			virtq_push(q, net->chain.head,
				   virtq_write(&net->chain, 0, &answer, sizeof(answer)));
			budget--;
		}
	} while (budget && net_queue_runs(net, queue) && virtq_kicks_on(q));
	virtio_interrupt(&net->virtio, queue);
	return !budget;
}

/* ---- The record ---- */

/* What the driver accepted is frozen by now; the backend hears of it before the first packet. */
static void configure(struct net *net)
{
	struct net_backend *backend = net->backend;
	int ret = 0;

	net->configured = true;
	net->active_pairs = 1;
	if (backend->ops->set_features)
		ret = backend->ops->set_features(backend, net->virtio.accepted);
	if (!ret && backend->ops->set_pairs)
		ret = backend->ops->set_pairs(backend, 1);
	if (ret)
		net_backend_gone(net, -ret);
}

static bool net_kick(struct virtio *virtio, unsigned int queue)
{
	struct net *net = to_net(virtio);
	unsigned int index = queue / 2;

	if (!net->configured)
		configure(net);
	if (has_control_queue(net) && queue == control_queue(net))
		return control_run(net, queue);
	if (index >= net->active_pairs || net->gone)
		return false; /* looked at when the driver turns the pair on */
	return queue == RECEIVE_QUEUE(index) ? net_receive_run(&net->pairs[index])
					     : net_send_run(&net->pairs[index]);
}

static void net_reset(struct virtio *virtio)
{
	struct net *net = to_net(virtio);

	net->configured = false;
	net->active_pairs = 1;
	for (unsigned int i = 0; i < net->backend->pairs; i++) {
		net_receive_reset(&net->pairs[i]);
		net_send_reset(&net->pairs[i]);
	}
}

static void net_destroy(struct virtio *virtio)
{
	struct net *net = to_net(virtio);

	for (unsigned int i = 0; i < net->backend->pairs; i++)
		net_receive_fini(&net->pairs[i]);
	free(net->pairs);
	net_backend_destroy(net->backend);
	free(net);
}

static const struct virtio_counter net_counters[] = {
	{ "received", offsetof(struct net, stats.received), 0 },
	{ "received_bytes", offsetof(struct net, stats.received_bytes), 0 },
	{ "sent", offsetof(struct net, stats.sent), 0 },
	{ "sent_bytes", offsetof(struct net, stats.sent_bytes), 0 },
	{ "receive_dropped", offsetof(struct net, stats.receive_dropped), 0 },
	{ "send_dropped", offsetof(struct net, stats.send_dropped), 0 },
	{ "receive_waits", offsetof(struct net, stats.receive_waits), 0 },
	{ "send_waits", offsetof(struct net, stats.send_waits), 0 },
	{ "rate_waits", offsetof(struct net, stats.rate_waits), 0 },
	{ 0 },
};

static const struct virtio_type net_type = {
	.name = "net",
	.id = VIRTIO_ID_NET,
	.pci_class = 0x020000, /* Ethernet */
	.queue_count = 2,
	.queue_size = NET_QUEUE_SIZE,
	.features = VIRTIO_FEATURE(VIRTIO_NET_F_MAC) | VIRTIO_FEATURE(VIRTIO_NET_F_STATUS) |
		    VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF),
	.config_bytes = CONFIG_BYTES,
	.counters = net_counters,
	.kick = net_kick,
	.reset = net_reset,
	.destroy = net_destroy,
};

/* ---- Creating ---- */

static int check(const struct net_setup *setup, struct error *error)
{
	static const uint8_t zero[NET_MAC_BYTES];

	if (setup->mac[0] & 1 || !memcmp(setup->mac, zero, sizeof(zero)))
		return error_set(error, EINVAL,
				 "%02x:%02x:%02x:%02x:%02x:%02x is no station's MAC address: the "
				 "first byte must be even and not all may be zero",
				 setup->mac[0], setup->mac[1], setup->mac[2], setup->mac[3],
				 setup->mac[4], setup->mac[5]);
	if (setup->mtu && setup->mtu < NET_MTU_MIN)
		return error_set(error, EINVAL, "an MTU of %u is too small: %d to %d", setup->mtu,
				 NET_MTU_MIN, NET_MTU_MAX);
	if (setup->backend->pairs < 1 || setup->backend->pairs > NET_PAIRS_MAX)
		return error_set(error, EINVAL, "%u queue pairs: a network device has 1 to %d",
				 setup->backend->pairs, NET_PAIRS_MAX);
	return 0;
}

static void fill_config(struct net *net, const struct net_setup *setup)
{
	struct virtio_net_config config = {
		.status = htole16(VIRTIO_NET_S_LINK_UP),
		.max_virtqueue_pairs = htole16(setup->backend->pairs),
		.mtu = htole16(setup->mtu),
	};

	memcpy(config.mac, setup->mac, sizeof(config.mac));
	memcpy(net->virtio.config, &config, CONFIG_BYTES);
}

int net_create(struct virtio **virtio, const struct net_setup *setup, struct error *error)
{
	uint64_t features = setup->backend->features;
	uint16_t pairs = setup->backend->pairs;
	struct net *net;
	int ret = check(setup, error);

	if (ret)
		return ret;
	net = calloc(1, sizeof(*net));
	if (net)
		net->pairs = calloc(pairs, sizeof(*net->pairs));
	if (!net || !net->pairs)
		goto fail;
	net->loop = setup->loop;
	net->backend = setup->backend;
	net->active_pairs = 1;
	init_limit(&net->receive_limit, &setup->receive_rate);
	init_limit(&net->send_limit, &setup->send_rate);
	for (unsigned int i = 0; i < pairs; i++) {
		net->pairs[i].net = net;
		net->pairs[i].index = i;
		net_send_init(&net->pairs[i]);
		if (net_receive_init(&net->pairs[i]))
			goto fail;
	}
	if (setup->mtu)
		features |= VIRTIO_FEATURE(VIRTIO_NET_F_MTU);
	/* Each queue costs the guest's start a few exits: no control queue for one pair. */
	if (pairs > 1)
		features |= VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ) | VIRTIO_FEATURE(VIRTIO_NET_F_MQ);
	virtio_init(&net->virtio, &net_type, setup->ram, setup->log, features,
		    pairs > 1 ? 2 * pairs + 1 : 2);
	/* An acknowledgement often comes while what it acknowledges is given back. The driver of
	 * several pairs has a processor for each, and wants vectors that can be spread. */
	net->virtio.one_vector = pairs == 1;
	fill_config(net, setup);
	*virtio = &net->virtio;
	return 0;
fail:
	for (unsigned int i = 0; net && net->pairs && i < pairs; i++)
		net_receive_fini(&net->pairs[i]);
	if (net)
		free(net->pairs);
	free(net);
	return error_set(error, ENOMEM, "no memory for a network device");
}

const struct net_stats *net_stats(const struct virtio *virtio)
{
	return &((const struct net *)virtio)->stats;
}
