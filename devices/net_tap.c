/* SPDX-License-Identifier: Apache-2.0 */
/* net_tap: the backend that is a Linux tap device. */
#include "devices/net_tap.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "base/num.h"

/* Newer than the headers of Debian 12. */
#define TUN_F_USO4_BIT 0x20
#define TUN_F_USO6_BIT 0x40

#define VLAN_TAG_BYTES 4

#define BIT(feature) (UINT64_C(1) << (feature))

struct net_tap {
	struct net_backend backend;
	uint16_t attached; /* of the queues: the first ones */
	int fds[];
};

static struct net_tap *to_tap(struct net_backend *backend)
{
	return (struct net_tap *)backend;
}

static ssize_t tap_receive(struct net_backend *backend, unsigned int pair, const struct iovec *iov,
			   unsigned int count)
{
	ssize_t got = readv(to_tap(backend)->fds[pair], iov, (int)count);

	return got < 0 ? -errno : got;
}

/* EIO is a link that the host turned off: it may come back. EBADFD is a device that was removed. */
static int tap_send(struct net_backend *backend, unsigned int pair, const struct iovec *iov,
		    unsigned int count)
{
	if (writev(to_tap(backend)->fds[pair], iov, (int)count) >= 0)
		return 0;
	return errno == EBADFD ? -ENOLINK : -errno;
}

static int tap_fd(const struct net_backend *backend, unsigned int pair)
{
	return ((const struct net_tap *)backend)->fds[pair];
}

/* What the guest can receive becomes what the tap may hand out. Segments of any kind need
 * checksums. */
static int tap_set_features(struct net_backend *backend, uint64_t accepted)
{
	static const struct {
		unsigned int feature, flag;
	} table[] = {
		{ VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },
		{ VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 },
		{ NET_F_GUEST_USO4, TUN_F_USO4_BIT },
		{ NET_F_GUEST_USO6, TUN_F_USO6_BIT },
	};
	const unsigned long tso = TUN_F_TSO4 | TUN_F_TSO6, uso = TUN_F_USO4_BIT | TUN_F_USO6_BIT;
	unsigned long flags = 0;

	if (accepted & BIT(VIRTIO_NET_F_GUEST_CSUM)) {
		flags = TUN_F_CSUM;
		for (unsigned int i = 0; i < ARRAY_SIZE(table); i++) {
			if (accepted & BIT(table[i].feature))
				flags |= table[i].flag;
		}
		if (flags & tso && accepted & BIT(VIRTIO_NET_F_GUEST_ECN))
			flags |= TUN_F_TSO_ECN;
		if ((flags & uso) != uso)
			flags &= ~uso; /* the tap takes both or none */
	}
	return ioctl(to_tap(backend)->fds[0], TUNSETOFFLOAD, flags) ? -errno : 0;
}

/* Packets go to the attached queues only. The first one always is. */
static int tap_set_pairs(struct net_backend *backend, unsigned int pairs)
{
	struct net_tap *tap = to_tap(backend);
	struct ifreq request = { 0 };

	while (tap->attached != pairs) {
		bool attach = tap->attached < pairs;
		unsigned int index = attach ? tap->attached : tap->attached - 1u;

		request.ifr_flags = attach ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
		if (ioctl(tap->fds[index], TUNSETQUEUE, &request))
			return -errno;
		tap->attached += attach ? 1 : -1;
	}
	return 0;
}

static void tap_destroy(struct net_backend *backend)
{
	struct net_tap *tap = to_tap(backend);

	for (unsigned int i = 0; i < backend->pairs; i++)
		fd_close(&tap->fds[i]);
	free(tap);
}

static const struct net_backend_ops tap_ops = {
	.name = "tap",
	.receive = tap_receive,
	.send = tap_send,
	.fd = tap_fd,
	.set_features = tap_set_features,
	.set_pairs = tap_set_pairs,
	.destroy = tap_destroy,
};

static uint64_t features(bool udp_segmentation)
{
	uint64_t udp = BIT(NET_F_GUEST_USO4) | BIT(NET_F_GUEST_USO6) | BIT(NET_F_HOST_USO);

	return BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |
	       BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_GUEST_CSUM) |
	       BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |
	       BIT(VIRTIO_NET_F_GUEST_ECN) | (udp_segmentation ? udp : 0);
}

int net_tap_create(struct net_backend **backend, const struct net_tap_setup *setup,
		   struct error *error)
{
	struct net_tap *tap = calloc(1, sizeof(*tap) + setup->pairs * sizeof(*tap->fds));

	if (!tap) {
		for (unsigned int i = 0; i < setup->pairs; i++) {
			int fd = setup->fds[i];

			fd_close(&fd);
		}
		return error_set(error, ENOMEM, "no memory for a tap device");
	}
	tap->backend.ops = &tap_ops;
	tap->backend.features = features(setup->udp_segmentation);
	tap->backend.frame_bytes =
		ETH_HLEN + VLAN_TAG_BYTES + (uint32_t)num_max(setup->mtu, ETH_DATA_LEN);
	tap->backend.pairs = setup->pairs;
	tap->attached = setup->pairs;
	for (unsigned int i = 0; i < setup->pairs; i++)
		tap->fds[i] = setup->fds[i];
	*backend = &tap->backend;
	return 0;
}
