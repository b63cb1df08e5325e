/* SPDX-License-Identifier: Apache-2.0 */
/* num: overflow-checked sums, alignment and little-endian access. Everything a guest or a user
 * sizes goes through here. */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* False, with *sum untouched, where a + b does not fit. */
static inline bool num_add(uint64_t a, uint64_t b, uint64_t *sum)
{
	uint64_t result;

	if (__builtin_add_overflow(a, b, &result))
		return false;
	*sum = result;
	return true;
}

/* False, with *product untouched, where a * b does not fit. */
static inline bool num_mul(uint64_t a, uint64_t b, uint64_t *product)
{
	uint64_t result;

	if (__builtin_mul_overflow(a, b, &result))
		return false;
	*product = result;
	return true;
}

/* True where [offset, offset + bytes) lies inside [0, limit); no sum that could overflow is made.
 */
static inline bool num_within(uint64_t offset, uint64_t bytes, uint64_t limit)
{
	return offset <= limit && bytes <= limit - offset;
}

static inline bool num_is_aligned(uint64_t value, uint64_t power_of_two)
{
	return (value & (power_of_two - 1)) == 0;
}

static inline bool num_is_power_of_two(uint64_t value)
{
	return value && (value & (value - 1)) == 0;
}

static inline uint64_t num_align_down(uint64_t value, uint64_t power_of_two)
{
	return value & ~(power_of_two - 1);
}

/* False, with *aligned untouched, where the next multiple does not fit. */
static inline bool num_align_up(uint64_t value, uint64_t power_of_two, uint64_t *aligned)
{
	uint64_t sum;

	if (!num_add(value, power_of_two - 1, &sum))
		return false;
	*aligned = num_align_down(sum, power_of_two);
	return true;
}

static inline uint64_t num_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t num_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Little-endian values at any alignment. */
static inline uint16_t load_le16(const void *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return le16toh(value);
}

static inline uint32_t load_le32(const void *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static inline uint64_t load_le64(const void *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

static inline void store_le16(void *at, uint16_t value)
{
	value = htole16(value);
	memcpy(at, &value, sizeof(value));
}

static inline void store_le32(void *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static inline void store_le64(void *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
}

#endif
