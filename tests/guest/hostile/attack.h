/* SPDX-License-Identifier: Apache-2.0 */
/* attack: what a hostile driver does to a device, and what a good one finds it to be afterwards. */
#ifndef TESTS_GUEST_HOSTILE_ATTACK_H
#define TESTS_GUEST_HOSTILE_ATTACK_H

#include "device.h"

/* A request as a driver would make it: buffers in the device's arena. */
#define PARTS_MAX 16
struct request {
	unsigned int count;
	struct descriptor parts[PARTS_MAX];
};

struct span {
	uint64_t address;
	uint32_t bytes;
};

/* wild.c: addresses */
/* Anywhere: RAM and its end, device windows, the end of the address space. Where it is wholly in
 * RAM, it is not the program's own. */
struct span wild_span(const struct device *device);
uint64_t wild_address(const struct device *device, uint32_t bytes);
/* 1 to bytes_max bytes among the device's buffers. */
struct span tame_span(const struct device *device, uint32_t bytes_max);

/* request.c: something for a queue that its device takes seriously. */
void make_request(struct device *device, unsigned int queue, struct request *request);

/* attack.c: from a reset to the next. */
void attack(struct device *device);

/* calm.c: a good driver's use of the device, from a reset on. False, and said why, where it does
 * not work. */
bool use(struct device *device);

/* second.c: a second processor that disturbs. */
void start_second(uint64_t seed);
void pause_second(bool on);
bool second_runs(void);

#endif
