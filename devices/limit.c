/* SPDX-License-Identifier: Apache-2.0 */
/* limit: a token bucket. */
#include "devices/limit.h"

#include "base/clock.h"
#include "base/num.h"

#define BURST_DEFAULT_PARTS 10
/* Beyond this, sums could leave 63 bits; no device is that fast. */
#define AMOUNT_MAX          (INT64_MAX / 4)

void limit_init(struct limit *limit, const struct limit_rate *rate, uint64_t now_ns)
{
	limit->rate = *rate;
	limit->rate.per_second = num_min(rate->per_second, AMOUNT_MAX);
	if (!rate->burst)
		limit->rate.burst = num_max(limit->rate.per_second / BURST_DEFAULT_PARTS, 1);
	limit->rate.burst = num_min(limit->rate.burst, AMOUNT_MAX);
	limit->left = (int64_t)limit->rate.burst;
	limit->once_left = rate->once;
	limit->refilled_ns = now_ns;
}

/* per_second * ns / 10^9, without losing what is less than one: the clock moves only by what was
 * paid out. */
static void refill(struct limit *limit, uint64_t now_ns)
{
	unsigned __int128 earned;
	int64_t room = (int64_t)limit->rate.burst - limit->left;

	if (now_ns <= limit->refilled_ns)
		return;
	earned = (unsigned __int128)(now_ns - limit->refilled_ns) * limit->rate.per_second;
	if (earned / NS_PER_SEC >= (uint64_t)room) {
		limit->left = (int64_t)limit->rate.burst;
		limit->refilled_ns = now_ns;
		return;
	}
	limit->left += (int64_t)(earned / NS_PER_SEC);
	limit->refilled_ns += (uint64_t)(earned / NS_PER_SEC * NS_PER_SEC / limit->rate.per_second);
}

bool limit_open(struct limit *limit, uint64_t now_ns)
{
	if (!limit_is_set(limit))
		return true;
	refill(limit, now_ns);
	return limit->left > 0 || limit->once_left;
}

void limit_take(struct limit *limit, uint64_t amount)
{
	uint64_t once = num_min(amount, limit->once_left);

	if (!limit_is_set(limit))
		return;
	limit->once_left -= once;
	amount = num_min(amount - once, AMOUNT_MAX);
	/* A debt is bounded too: requests are let through one by one, and none is that large. */
	if (limit->left > -AMOUNT_MAX)
		limit->left -= (int64_t)amount;
}

uint64_t limit_wait_ns(const struct limit *limit)
{
	unsigned __int128 missing;

	if (!limit_is_set(limit) || limit->left > 0 || limit->once_left)
		return 0;
	missing = (unsigned __int128)(1 - limit->left) * NS_PER_SEC;
	return (uint64_t)num_min((uint64_t)(missing / limit->rate.per_second) + 1,
				 3600 * NS_PER_SEC);
}
