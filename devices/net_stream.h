/* SPDX-License-Identifier: Apache-2.0 */
/* net_stream: the backend that is a stream socket on which each frame comes behind its length in
 * four bytes, the first one the highest: the protocol of passt and of QEMU's socket network. */
#ifndef DEVICES_NET_STREAM_H
#define DEVICES_NET_STREAM_H

#include <stdint.h>

#include "base/error.h"
#include "devices/net_backend.h"

/*
 * One queue pair, no offloads. name, a constant, is what log lines call the other end. fd,
 * connected, is the backend's from now on, also on failure (-ENOMEM). A length that cannot be is
 * the end of the stream.
 */
int net_stream_create(struct net_backend **backend, const char *name, int fd, struct error *error);

#endif
