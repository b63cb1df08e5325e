/* SPDX-License-Identifier: Apache-2.0 */
/* vsock: a virtio socket device (virtio 1.3 section 5.10): what it is. */
#include "devices/vsock.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "devices/vsock_device.h"

static struct vsock *to_vsock(struct virtio *virtio)
{
	return (struct vsock *)virtio;
}

bool vsock_queue_runs(const struct vsock *vsock, unsigned int queue)
{
	return !(vsock->virtio.status & VIRTIO_CONFIG_S_NEEDS_RESET) &&
	       virtq_running(&vsock->virtio.queues[queue]);
}

unsigned int vsock_slice(struct iovec *out, const struct iovec *iov, unsigned int count,
			 size_t skip, size_t bytes, size_t *sum)
{
	unsigned int filled = 0;
	size_t left = bytes;

	for (unsigned int i = 0; i < count && left; i++) {
		size_t over = num_min(skip, iov[i].iov_len);
		size_t part = num_min(left, iov[i].iov_len - over);

		skip -= over;
		if (!part)
			continue;
		out[filled++] = (struct iovec){ (uint8_t *)iov[i].iov_base + over, part };
		left -= part;
	}
	*sum = bytes - left;
	return filled;
}

/* The event queue stays full: there is nothing to tell (5.10.6.7). */
static bool vsock_kick(struct virtio *virtio, unsigned int queue)
{
	struct vsock *vsock = to_vsock(virtio);
	bool more = false;

	vsock_release_orphans(vsock);
	if (queue == VSOCK_QUEUE_TX)
		more = vsock_tx_run(vsock);
	vsock_after_event(vsock);
	return more;
}

static void vsock_reset(struct virtio *virtio)
{
	struct vsock *vsock = to_vsock(virtio);

	vsock_orphan_all(vsock);
	vsock->sending_stopped = false;
}

static void vsock_destroy(struct virtio *virtio)
{
	struct vsock *vsock = to_vsock(virtio);

	vsock_unlisten(vsock);
	vsock_table_fini(vsock);
	free(vsock);
}

static const struct virtio_counter vsock_counters[] = {
	{ "connections", offsetof(struct vsock, stats.connections), 0 },
	{ "refused", offsetof(struct vsock, stats.refused), 0 },
	{ "resets", offsetof(struct vsock, stats.resets), 0 },
	{ "to_guest_bytes", offsetof(struct vsock, stats.to_guest_bytes), 0 },
	{ "to_host_bytes", offsetof(struct vsock, stats.to_host_bytes), 0 },
	{ 0 },
};

static const struct virtio_type vsock_type = {
	.name = "vsock",
	.id = VIRTIO_ID_VSOCK,
	.pci_class = 0x078000, /* communication, other */
	.queue_count = 3,
	.queue_size = VSOCK_QUEUE_SIZE,
	.config_bytes = sizeof(struct virtio_vsock_config),
	.counters = vsock_counters,
	.kick = vsock_kick,
	.reset = vsock_reset,
	.destroy = vsock_destroy,
};

int vsock_create(struct virtio **virtio, const struct vsock_setup *setup, struct error *error)
{
	struct vsock *vsock;
	int ret;

	if (setup->guest_cid < VSOCK_CID_MIN || setup->guest_cid > VSOCK_CID_MAX)
		return error_set(error, EINVAL, "a guest's CID is %d to %u, not %llu",
				 VSOCK_CID_MIN, VSOCK_CID_MAX,
				 (unsigned long long)setup->guest_cid);
	vsock = calloc(1, sizeof(*vsock));
	if (!vsock)
		return error_set(error, ENOMEM, "no memory for a vsock device");
	vsock->listen_fd = -1;
	vsock->loop = setup->loop;
	vsock->guest_cid = setup->guest_cid;
	virtio_init(&vsock->virtio, &vsock_type, setup->ram, setup->log, 0, 0);
	store_le64(vsock->virtio.config, setup->guest_cid);
	vsock_host_init(vsock);
	ret = vsock_table_init(vsock);
	if (ret) {
		error_set(error, -ret, "no memory for a vsock device");
		goto fail;
	}
	ret = vsock_listen(vsock, setup->path, error);
	if (ret)
		goto fail;
	*virtio = &vsock->virtio;
	return 0;
fail:
	vsock_destroy(&vsock->virtio);
	return ret;
}

const struct vsock_stats *vsock_stats(const struct virtio *virtio)
{
	return &((const struct vsock *)virtio)->stats;
}
