/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_vsock: packets and rings of a socket device, with programs of the host that come, talk and
 * go. */
#include <errno.h>
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
#include "devices/vsock_device.h"
#include "tests/fake/driver.h"

#define CID     3
#define PACKETS 0x4000
#define CLIENTS 4
/* Few connections, so that the fuzzer meets them again. */
#define PORTS   3

struct target {
	struct fake_driver driver;
	struct vsock *vsock;
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
	struct fake_driver *driver = &target->driver;
	struct vsock_setup setup = {
		.ram = &driver->ram, .log = &driver->log, .guest_cid = CID, .path = target->path
	};
	struct virtio *virtio;

	fake_driver_init(driver, 4096);
	setup.loop = driver->loop;
	if (vsock_create(&virtio, &setup, NULL))
		abort();
	target->vsock = (struct vsock *)virtio;
	fake_driver_attach(driver, virtio);
	fake_driver_start(driver, 3, 0, how);
}

static void end(struct target *target)
{
	int fd;

	fake_driver_fini(&target->driver);
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

	memcpy(target->driver.ram.ranges[0].host + PACKETS, &header, sizeof(header));
	fake_driver_offer(&target->driver, VSOCK_QUEUE_TX, PACKETS,
			  (uint32_t)sizeof(header) + bytes, 0);
}

static void client(struct target *target, const uint8_t *data)
{
	uint8_t *memory = target->driver.ram.ranges[0].host;
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
		while (*fd >= 0 && recv(*fd, memory + 0x80000, 100000, 0) > 0)
			;
		break;
	case 6:
		send(*fd, memory + PACKETS, load_le16(data + 4), MSG_NOSIGNAL);
		break;
	default:
		send(*fd, data + 3, 5, MSG_NOSIGNAL);
		break;
	}
	fire_all(target);
}

static void step(void *opaque, const uint8_t *data)
{
	struct target *target = opaque;

	switch (data[0] % 10) {
	case 3:
	case 4:
		fake_driver_offer(&target->driver, VSOCK_QUEUE_RX, load_le16(data + 2),
				  load_le16(data + 4), VRING_DESC_F_WRITE);
		break;
	case 5:
	case 6:
	case 7:
		packet(target, data);
		break;
	case 8:
		fire(&target->vsock->timer, -1);
		break;
	case 9:
		client(target, data);
		break;
	default:
		fake_driver_step(&target->driver, data[0] % 10, data);
		break;
	}
	fake_wires_run(&target->driver.wires, &target->vsock->virtio);
}

static char listener_path[80];

static void remove_listener(void)
{
	unlink(listener_path);
}

static void prepare(struct target *target)
{
	snprintf(target->path, sizeof(target->path), "/tmp/stet-fuzz-vsock-%d", getpid());
	snprintf(listener_path, sizeof(listener_path), "%s_1", target->path);
	target->listener = host_socket(listener_path, true);
	atexit(remove_listener);
	for (unsigned int i = 0; i < CLIENTS; i++)
		target->clients[i] = -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct target target;

	if (!target.path[0])
		prepare(&target);
	begin(&target, bytes ? data[0] : 0);
	fake_driver_run(data, bytes, step, &target);
	end(&target);
	return 0;
}
