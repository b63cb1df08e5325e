/* SPDX-License-Identifier: Apache-2.0 */
/* hvc_device: the record of a virtio console, for hvc.c and for the test that fires its requests.
 */
#ifndef DEVICES_HVC_DEVICE_H
#define DEVICES_HVC_DEVICE_H

#include "devices/hvc.h"

#define HVC_QUEUE_RECEIVE 0 /* what is typed */
#define HVC_QUEUE_SEND    1
#define HVC_QUEUE_SIZE    64

#define HVC_OUTPUT_BYTES 16384
#define HVC_INPUT_BYTES  1024

/* Lock: the device's. A buffer belongs to the loop while its request is pending, but for the part
 * of the output behind what is being written. */
struct hvc {
	struct virtio virtio;
	struct loop *loop;
	struct virtq_chain chain; /* the one being looked at */
	struct hvc_stats stats;

	int in_fd, out_fd;
	uint8_t input[HVC_INPUT_BYTES];
	uint32_t input_first, input_bytes;
	bool input_ended;
	struct loop_request read;

	uint32_t chain_taken;             /* of the chain whose rest waits for room */
	uint8_t output[HVC_OUTPUT_BYTES]; /* a ring */
	uint32_t output_first;
	_Atomic uint32_t output_bytes; /* written under the lock */
	bool output_failed;            /* said once; what the guest writes is dropped */
	struct loop_request write;
};

#endif
