/* SPDX-License-Identifier: Apache-2.0 */
/* rng: a virtio entropy device (virtio 1.3 section 5.4) fed by getrandom(). */
#include "devices/rng.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/num.h"

/* One queue. A request is answered with at most this much: more makes no key better, and the lock
 * is held meanwhile. */
#define RNG_REQUEST_BYTES_MAX 4096
#define RNG_CHAINS_PER_KICK   16

struct rng {
	struct virtio virtio;
	struct virtq_chain chain;
};

/* Returns how many bytes there are now: all of them, once the host's generator is seeded. */
static uint32_t fill(const struct virtq_chain *chain)
{
	uint32_t wanted = (uint32_t)num_min(chain->writable_bytes, RNG_REQUEST_BYTES_MAX);
	uint8_t bytes[256];
	uint32_t done = 0;

	while (done < wanted) {
		size_t step = num_min(wanted - done, sizeof(bytes));
		ssize_t got = getrandom(bytes, step, GRND_NONBLOCK);

		if (got <= 0)
			break;
		done += virtq_write(chain, done, bytes, (uint32_t)got);
	}
	explicit_bzero(bytes, sizeof(bytes));
	return done;
}

static bool rng_kick(struct virtio *virtio, unsigned int queue)
{
	struct rng *rng = (struct rng *)virtio;
	struct virtq *q = virtio_queue(virtio, queue);
	unsigned int budget = RNG_CHAINS_PER_KICK;

	do {
		virtq_kicks_off(q);
		while (budget && virtio_pop(virtio, queue, &rng->chain)) {
			virtq_push(q, rng->chain.head, fill(&rng->chain));
			budget--;
		}
	} while (budget && virtio_kicks_on(virtio, queue));
	virtio_interrupt(virtio, queue);
	return !budget;
}

static void rng_destroy(struct virtio *virtio)
{
	free(virtio);
}

static const struct virtio_type rng_type = {
	.name = "rng",
	.id = VIRTIO_ID_RNG,
	.pci_class = 0x00ff00,
	.queue_count = 1,
	.queue_size = 64,
	.kick = rng_kick,
	.destroy = rng_destroy,
};

struct virtio *rng_create(const struct ram *ram, const struct log *log)
{
	struct rng *rng = calloc(1, sizeof(*rng));

	if (!rng)
		return NULL;
	virtio_init(&rng->virtio, &rng_type, ram, log, 0, 0);
	return &rng->virtio;
}
