/* SPDX-License-Identifier: Apache-2.0 */
/* report_virtio: what the virtio devices counted, as text. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/num.h"
#include "vmm/plug_virtio.h"
#include "vmm/vm.h"

/* What every device counts. */
static const struct virtio_counter common_counters[] = {
	{ "kicks", offsetof(struct virtio, stats.kicks), 0 },
	{ "chains", offsetof(struct virtio, stats.chains), 0 },
	{ "interrupts", offsetof(struct virtio, stats.interrupts), 0 },
	{ "interrupts_saved", offsetof(struct virtio, stats.interrupts_saved), 0 },
	{ "driver_resets", offsetof(struct virtio, stats.resets), 0 },
	{ "rules_broken", offsetof(struct virtio, stats.broken), 0 },
	{ 0 },
};

static uint64_t value_of(const struct virtio *virtio, const struct virtio_counter *counter,
			 uint32_t index)
{
	const uint8_t *device = (const uint8_t *)virtio;
	const _Atomic uint64_t *values = (const _Atomic uint64_t *)(device + counter->offset);

	return atomic_load_explicit(&values[index], memory_order_relaxed);
}

static void json_counters(struct text *text, const struct virtio *virtio,
			  const struct virtio_counter *counter)
{
	for (; counter && counter->name; counter++) {
		if (!counter->count) {
			json_u64(text, counter->name, value_of(virtio, counter, 0));
			continue;
		}
		json_begin_array(text, counter->name);
		for (uint32_t i = 0; i < counter->count; i++)
			json_u64(text, NULL, value_of(virtio, counter, i));
		json_end_array(text);
	}
}

void report_virtio_json(const struct plug *plug, struct text *text)
{
	json_begin_array(text, "virtio");
	for (uint32_t i = 0; i < plug->virtio_count; i++) {
		const struct virtio *virtio = plug->virtio[i]->virtio;

		json_begin_object(text, NULL);
		json_string(text, "type", virtio->type->name);
		json_u64(text, "queues", virtio->queue_count);
		json_counters(text, virtio, common_counters);
		json_counters(text, virtio, virtio->type->counters);
		json_end_object(text);
	}
	json_end_array(text);
}

static void counter_rows(struct text *text, const struct virtio *virtio, uint32_t number,
			 const struct virtio_counter *counter,
			 void (*row)(struct text *text, const char *name, uint64_t value))
{
	for (; counter && counter->name; counter++) {
		uint64_t value = counter->count ? 0 : value_of(virtio, counter, 0);
		char name[64];

		if (!value)
			continue;
		snprintf(name, sizeof(name), "  %s%" PRIu32 " %s", virtio->type->name, number,
			 counter->name);
		row(text, name, value);
	}
}

/* For people: what is not zero, and no lists. */
void report_virtio_rows(const struct plug *plug, struct text *text,
			void (*row)(struct text *text, const char *name, uint64_t value))
{
	for (uint32_t i = 0; i < plug->virtio_count; i++) {
		const struct virtio *virtio = plug->virtio[i]->virtio;

		counter_rows(text, virtio, i, common_counters, row);
		counter_rows(text, virtio, i, virtio->type->counters, row);
	}
}
