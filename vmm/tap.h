/* SPDX-License-Identifier: Apache-2.0 */
/* tap: opens a tap device of the host for a network device. */
#ifndef VMM_TAP_H
#define VMM_TAP_H

#include <stdint.h>

#include "base/error.h"
#include "devices/net_backend.h"

/*
 * Attaches to the tap device called name, which must exist, with one queue for each of pairs (1 to
 * 32; more than one needs a tap made with multi_queue). Needs CAP_NET_ADMIN, or a tap whose owner
 * the caller is. Errors say what to do: -ENAMETOOLONG, -ENODEV, -EPERM, -EBUSY, -EINVAL (no tap, or
 * one with fewer queues), -ENOENT (no /dev/net/tun).
 *
 * Once the device runs, its thread makes the ioctls TUNSETOFFLOAD and TUNSETQUEUE.
 */
int tap_open(struct net_backend **backend, const char *name, uint16_t pairs, struct error *error);

#endif
