/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_vsock: packets and rings of a socket device, with programs of the host that come, talk and
 * go. The loop never runs: what it would say is said here. */
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "devices/virtio_mmio.h"
#include "devices/vsock_device.h"
#include "tests/fake/guest.h"

#define CID          3
#define AREA_BYTES   0x10000
#define QUEUE_SIZE   16
#define QUEUE_GPA(i) (UINT64_C(0x800) * (i))
#define PACKETS      0x4000
#define CLIENTS      4
/* Few connections, so that the fuzzer meets them again. */
#define PORTS        3

struct target {
	struct ram ram;
	struct fake_wires wires;
	struct loop *loop;
	struct vsock *vsock;
	struct device *mmio;
	char path[64];
	int listener;
	int clients[CLIENTS];
};

static int host_socket(const char *path, bool listens)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0)
		abort();
	if (!listens) {
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
			fd_close(&fd);
		return fd;
	}
	unlink(path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 16))
		abort();
	return fd;
}

static void begin(struct target *target, uint8_t how)
{
	static const struct log log;
	const struct vsock_setup setup = { .ram = &target->ram,
					   .log = &log,
					   .loop = NULL,
					   .guest_cid = CID,
					   .path = target->path };
	struct vsock_setup with_loop = setup;
	struct virtio_wiring wiring;
	struct fake_queue queues[3];
	struct virtio *virtio;

	fake_wires_init(&target->wires, &wiring);
	if (loop_create(&target->loop, 4096, NULL))
		abort();
	with_loop.loop = target->loop;
	if (vsock_create(&virtio, &with_loop, NULL))
		abort();
	target->vsock = (struct vsock *)virtio;
	target->mmio = virtio_mmio_create(virtio, &wiring);
	for (unsigned int i = 0; i < 3; i++) {
		fake_queue_init(&queues[i], &target->ram, 0x10000, QUEUE_SIZE, how & 1);
		queues[i].descriptors_gpa = QUEUE_GPA(i);
		queues[i].driver_gpa = QUEUE_GPA(i) + 0x400;
		queues[i].device_gpa = QUEUE_GPA(i) + 0x600;
	}
	fake_mmio_start(target->mmio,
			VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |
				(how & 1 ? VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) : 0) |
				(how & 2 ? VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) : 0),
			queues, 3);
}

static void end(struct target *target)
{
	int fd;

	device_destroy(target->mmio);
	loop_destroy(target->loop);
	for (unsigned int i = 0; i < CLIENTS; i++)
		fd_close(&target->clients[i]);
	while ((fd = accept(target->listener, NULL, NULL)) >= 0)
		close(fd);
}

/* As the loop, where fd is ready or the request was cancelled. */
static void fire(struct loop_request *request, int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN | POLLOUT };

	if (!request->pending)
		return;
	request->pending = false;
	request->done(request, fd >= 0 && poll(&ready, 1, 0) > 0 ? ready.revents : -ECANCELED);
}

static void fire_all(struct target *target)
{
	struct vsock *vsock = target->vsock;

	fire(&vsock->accept_poll, vsock->listen_fd);
	for (unsigned int i = 0; i < 32; i++) {
		fire(&vsock->connections[i].read_poll, vsock->connections[i].fd);
		fire(&vsock->connections[i].write_poll, vsock->connections[i].fd);
	}
}

/* One descriptor, offered and kicked. */
static void offer(struct target *target, unsigned int queue, uint16_t gpa, uint32_t bytes)
{
	uint8_t *area = target->ram.ranges[0].host + QUEUE_GPA(queue) + 0x400;
	uint16_t index = load_le16(area + 2);

	fake_descriptor(&target->ram, QUEUE_GPA(queue), index % QUEUE_SIZE, gpa, bytes,
			queue == VSOCK_QUEUE_TX ? 0 : VRING_DESC_F_WRITE, 0);
	store_le16(area + 4 + 2 * (index % QUEUE_SIZE), index % QUEUE_SIZE);
	store_le16(area + 2, index + 1);
	virtio_kick(&target->vsock->virtio, queue);
}

/* A packet of the guest that is nearly right. */
static void packet(struct target *target, const uint8_t *data)
{
	struct vsock *vsock = target->vsock;
	const struct vsock_connection *any = &vsock->connections[data[1] % 8];
	uint32_t bytes = load_le16(data + 4);
	struct virtio_vsock_hdr header = {
		.src_cid = CID,
		.dst_cid = 2,
		.src_port = data[2] & 8 ? any->guest_port : 100 + data[2] % PORTS,
		.dst_port = data[2] & 8 ? any->host_port : 1u + data[3] % PORTS,
		.len = data[6] & 1 ? bytes : load_le32(data + 3),
		.type = data[6] & 6 ? VIRTIO_VSOCK_TYPE_STREAM : data[6],
		.op = data[7] % 9,
		.flags = data[6] >> 4,
		.buf_alloc = data[6] & 8 ? 0x40000 : load_le32(data + 4),
		.fwd_cnt = data[6] & 16 ? any->sent : load_le32(data + 2),
	};

	memcpy(target->ram.ranges[0].host + PACKETS, &header, sizeof(header));
	offer(target, VSOCK_QUEUE_TX, PACKETS, (uint32_t)sizeof(header) + bytes);
}

static void client(struct target *target, const uint8_t *data)
{
	int *fd = &target->clients[data[1] % CLIENTS];
	char text[64];

	switch (data[2] % 8) {
	case 0:
		fd_close(fd);
		break;
	case 1:
		if (*fd < 0)
			*fd = host_socket(target->path, false);
		break;
	case 2:
		if (*fd < 0)
			*fd = accept4(target->listener, NULL, NULL, SOCK_NONBLOCK);
		break;
	case 3:
		snprintf(text, sizeof(text), "CONNECT %u\n", 100u + data[3] % PORTS);
		send(*fd, text, strlen(text), MSG_NOSIGNAL);
		break;
	case 4:
		shutdown(*fd, data[3] % 3);
		break;
	case 5:
		while (*fd >= 0 && recv(*fd, target->ram.ranges[0].host + 0x80000, 100000, 0) > 0)
			;
		break;
	case 6:
		send(*fd, target->ram.ranges[0].host + PACKETS, load_le16(data + 4), MSG_NOSIGNAL);
		break;
	default:
		send(*fd, data + 3, 5, MSG_NOSIGNAL);
		break;
	}
	fire_all(target);
}

/* Each step is 8 bytes. */
static void step(struct target *target, const uint8_t *data)
{
	uint16_t offset = load_le16(data + 2);

	switch (data[0] % 10) {
	case 0:
		fake_write(target->mmio, offset % 0x60 * 4, 4, load_le32(data + 4));
		break;
	case 1:
		virtio_kick(&target->vsock->virtio, data[1] % 4);
		break;
	case 2:
	case 3:
		offer(target, VSOCK_QUEUE_RX, offset, load_le16(data + 4));
		break;
	case 4:
	case 5:
	case 6:
		packet(target, data);
		break;
	case 7:
		fire(&target->vsock->timer, -1);
		break;
	case 8:
		memcpy(target->ram.ranges[0].host + num_min(offset, AREA_BYTES - 4), data + 4, 4);
		break;
	default:
		client(target, data);
		break;
	}
	fake_wires_run(&target->wires, &target->vsock->virtio);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct target target;

	if (!target.ram.range_count) {
		char path[80];

		fake_ram_init(&target.ram);
		snprintf(target.path, sizeof(target.path), "/tmp/stet-fuzz-vsock-%d", getpid());
		snprintf(path, sizeof(path), "%s_1", target.path);
		target.listener = host_socket(path, true);
		unlink(target.path);
		for (unsigned int i = 0; i < CLIENTS; i++)
			target.clients[i] = -1;
	}
	memset(target.ram.ranges[0].host, 0, AREA_BYTES);
	begin(&target, bytes ? data[0] : 0);
	for (size_t at = 1; at + 8 <= bytes && at < 200 * 8; at += 8)
		step(&target, data + at);
	end(&target);
	return 0;
}
