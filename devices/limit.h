/* SPDX-License-Identifier: Apache-2.0 */
/* limit: a token bucket: so much in a second, with a burst. */
#ifndef DEVICES_LIMIT_H
#define DEVICES_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/* What a user asks for, in the unit of what is limited (bytes, requests). */
struct limit_rate {
	uint64_t per_second; /* 0: no limit */
	uint64_t burst;      /* how much may be saved up; 0: a tenth of a second's worth */
	uint64_t once;       /* more of it at the beginning, never refilled */
};

/*
 * Pure arithmetic; lock: its owner's. A request is let through while there is anything left and
 * then takes all it needs: the bucket may be in debt, and a request larger than the burst is not
 * stuck for ever.
 */
struct limit {
	struct limit_rate rate;
	int64_t left;
	uint64_t once_left;
	uint64_t refilled_ns;
};

void limit_init(struct limit *limit, const struct limit_rate *rate, uint64_t now_ns);
/* True where something may pass at now. */
bool limit_open(struct limit *limit, uint64_t now_ns);
void limit_take(struct limit *limit, uint64_t amount);
/* How long until it is open, as of the last limit_open(). */
uint64_t limit_wait_ns(const struct limit *limit);

static inline bool limit_is_set(const struct limit *limit)
{
	return limit->rate.per_second;
}

#endif
