/* SPDX-License-Identifier: Apache-2.0 */
/* virtio: what all virtio devices share (virtio 1.3 sections 2 and 3). */
#include "devices/virtio.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/num.h"

#define FEATURES_COMMON                                                                     \
	(VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | \
	 VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX))

/* What a driver sets; NEEDS_RESET is the device's. */
#define STATUS_DRIVER_BITS                                                                  \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK | \
	 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

void virtio_init(struct virtio *virtio, const struct virtio_type *type, const struct ram *ram,
		 const struct log *log, uint64_t features, uint16_t queue_count)
{
	pthread_condattr_t clock;

	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&virtio->idle, &clock);
	pthread_condattr_destroy(&clock);
	virtio->type = type;
	virtio->ram = ram;
	virtio->log = log;
	virtio->offered = FEATURES_COMMON | type->features | features;
	virtio->queue_count = queue_count ? queue_count : type->queue_count;
	for (unsigned int i = 0; i < virtio->queue_count; i++) {
		virtio->queues[i].size_max = type->queue_size;
		virtq_reset(&virtio->queues[i]);
	}
}

void virtio_attach(struct virtio *virtio, pthread_mutex_t *lock, const struct virtio_front *front,
		   const struct virtio_wiring *wiring)
{
	virtio->lock = lock;
	virtio->front = *front;
	virtio->wiring = *wiring;
}

void virtio_destroy(struct virtio *virtio)
{
	if (!virtio)
		return;
	pthread_cond_destroy(&virtio->idle);
	virtio->type->destroy(virtio);
}

/* Features (2.2). Words beyond the second are empty. */

static uint32_t feature_word(uint64_t features, uint32_t word)
{
	return word < 2 ? (uint32_t)(features >> 32 * word) : 0;
}

uint32_t virtio_features_offered(const struct virtio *virtio, uint32_t word)
{
	return feature_word(virtio->offered, word);
}

uint32_t virtio_features_accepted(const struct virtio *virtio, uint32_t word)
{
	return feature_word(virtio->accepted, word);
}

void virtio_accept_features(struct virtio *virtio, uint32_t word, uint32_t value)
{
	if (word >= 2 || (virtio->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	virtio->accepted &= ~((uint64_t)UINT32_MAX << 32 * word);
	virtio->accepted |= (uint64_t)value << 32 * word;
}

static bool features_acceptable(const struct virtio *virtio)
{
	return !(virtio->accepted & ~virtio->offered) &&
	       virtio_has_feature(virtio, VIRTIO_F_VERSION_1);
}

/* Status (2.1, 3.1) */

static bool is_live(const struct virtio *virtio)
{
	return !virtio->start_pending &&
	       (virtio->status & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET)) ==
		       VIRTIO_CONFIG_S_DRIVER_OK;
}

bool virtio_configurable(const struct virtio *virtio)
{
	return !(virtio->status & VIRTIO_CONFIG_S_DRIVER_OK);
}

bool virtio_resetting(const struct virtio *virtio)
{
	return virtio->in_flight && !virtio->status;
}

static void ask_for_reset(struct virtio *virtio)
{
	virtio->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (virtio->status & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio->front.config_interrupt(virtio->front.opaque);
}

void virtio_needs_reset(struct virtio *virtio, const char *what)
{
	if (virtio->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	virtio_count(&virtio->stats.broken, 1);
	log_limited(virtio->log, &virtio->log_limit, LOG_LEVEL_WARNING,
		    "virtio %s: the guest's driver broke a rule (%s); the device waits for a reset",
		    virtio->type->name, what);
	ask_for_reset(virtio);
}

void virtio_fail(struct virtio *virtio, int code)
{
	pthread_mutex_lock(virtio->lock);
	if (!virtio->failed)
		log_line(virtio->log, LOG_LEVEL_ERROR,
			 "virtio %s: the host does not hear its queues any more (%s): the device "
			 "is of no use from now on",
			 virtio->type->name, error_name(code < 0 ? -code : code));
	virtio->failed = true;
	ask_for_reset(virtio);
	pthread_mutex_unlock(virtio->lock);
}

/* Starts the queues that the driver enabled, and looks at each once: buffers may be there already.
 */
static void start(struct virtio *virtio)
{
	bool indirect = virtio_has_feature(virtio, VIRTIO_RING_F_INDIRECT_DESC);
	bool event_index = virtio_has_feature(virtio, VIRTIO_RING_F_EVENT_IDX);

	virtio->start_pending = false;
	if (virtio->failed) {
		ask_for_reset(virtio);
		return;
	}
	for (unsigned int i = 0; i < virtio->queue_count; i++) {
		struct virtq *q = &virtio->queues[i];

		if (q->enabled && !virtq_start(q, virtio->ram, indirect, event_index)) {
			virtio_needs_reset(virtio, "size or address of a queue");
			return;
		}
	}
	for (unsigned int i = 0; i < virtio->queue_count; i++) {
		if (virtq_running(&virtio->queues[i]))
			virtio->wiring.kick(virtio->wiring.opaque, i);
	}
}

static void reset(struct virtio *virtio)
{
	if (virtio->status)
		virtio->status_before = virtio->status;
	virtio->status = 0;
	virtio->accepted = 0;
	virtio->start_pending = false;
	virtio->epoch++;
	for (unsigned int i = 0; i < virtio->queue_count; i++)
		virtq_reset(&virtio->queues[i]);
	if (virtio->type->reset)
		virtio->type->reset(virtio);
	virtio_count(&virtio->stats.resets, 1);
}

/* A driver never clears a bit but by a reset; what tries is ignored. */
void virtio_set_status(struct virtio *virtio, uint8_t status)
{
	uint8_t before = virtio->status & STATUS_DRIVER_BITS;
	uint8_t rising;

	if (!status) {
		reset(virtio);
		return;
	}
	status &= STATUS_DRIVER_BITS;
	if (before & ~status)
		return;
	rising = status & ~before;
	if ((rising & VIRTIO_CONFIG_S_FEATURES_OK) && !features_acceptable(virtio))
		status &= ~VIRTIO_CONFIG_S_FEATURES_OK; /* the driver reads it back (3.1.1) */
	virtio->status |= status;
	if (!(rising & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	if (!(status & VIRTIO_CONFIG_S_FEATURES_OK))
		virtio_needs_reset(virtio, "DRIVER_OK without FEATURES_OK");
	else if (virtio->in_flight)
		virtio->start_pending = true;
	else
		start(virtio);
}

void virtio_hold(struct virtio *virtio)
{
	virtio->in_flight++;
}

void virtio_release(struct virtio *virtio)
{
	virtio->in_flight--;
	if (virtio->in_flight)
		return;
	pthread_cond_broadcast(&virtio->idle);
	if (virtio->start_pending)
		start(virtio);
}

void virtio_wait_for_reset(struct virtio *virtio)
{
	uint64_t end_ns = clock_ns() + virtio->wiring.reset_limit_ns;
	const struct timespec end = {
		.tv_sec = (time_t)(end_ns / NS_PER_SEC),
		.tv_nsec = (long)(end_ns % NS_PER_SEC),
	};
	int ret = virtio->wiring.reset_limit_ns ? 0 : ETIMEDOUT;

	while (!ret && virtio_resetting(virtio))
		ret = pthread_cond_timedwait(&virtio->idle, virtio->lock, &end);
}

/* Queues */

struct virtq *virtio_queue(struct virtio *virtio, uint32_t queue)
{
	return queue < virtio->queue_count ? &virtio->queues[queue] : NULL;
}

bool virtio_kick(struct virtio *virtio, unsigned int queue)
{
	bool more = false;

	pthread_mutex_lock(virtio->lock);
	virtio_count(&virtio->stats.kicks, 1);
	if (queue < virtio->queue_count && is_live(virtio) && virtq_running(&virtio->queues[queue]))
		more = virtio->type->kick(virtio, queue);
	pthread_mutex_unlock(virtio->lock);
	return more;
}

bool virtio_pop(struct virtio *virtio, unsigned int queue, struct virtq_chain *chain)
{
	if (!is_live(virtio))
		return false;
	switch (virtq_pop(&virtio->queues[queue], chain)) {
	case VIRTQ_CHAIN:
		virtio_count(&virtio->stats.chains, 1);
		return true;
	case VIRTQ_BROKEN:
		virtio_needs_reset(virtio, "ring or descriptor chain");
		return false;
	case VIRTQ_EMPTY:
		break;
	}
	return false;
}

bool virtio_kicks_on(struct virtio *virtio, unsigned int queue)
{
	return is_live(virtio) && virtq_kicks_on(&virtio->queues[queue]);
}

void virtio_interrupt(struct virtio *virtio, unsigned int queue)
{
	struct virtq *q = &virtio->queues[queue];
	uint16_t before = q->signalled;

	if (!q->ram)
		return;
	if (virtq_signal_due(q)) {
		virtio_count(&virtio->stats.interrupts, 1);
		virtio->front.queue_interrupt(virtio->front.opaque, queue);
	} else if (q->signalled != before) {
		virtio_count(&virtio->stats.interrupts_saved, 1);
	}
}

/* Configuration space (2.5) */

void virtio_config_changed(struct virtio *virtio)
{
	virtio->generation++;
	if (virtio->status & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio->front.config_interrupt(virtio->front.opaque);
}

void virtio_config_read(const struct virtio *virtio, uint64_t offset, uint32_t size,
			uint64_t *value)
{
	*value = 0;
	for (uint32_t i = 0; i < size; i++) {
		if (num_within(offset, i + 1, virtio->type->config_bytes))
			*value |= (uint64_t)virtio->config[offset + i] << 8 * i;
	}
}

void virtio_config_write(struct virtio *virtio, uint64_t offset, uint32_t size, uint64_t value)
{
	if (!virtio->type->config_written || !num_within(offset, size, virtio->type->config_bytes))
		return;
	virtio->type->config_written(virtio, (uint32_t)offset, size, value);
}
