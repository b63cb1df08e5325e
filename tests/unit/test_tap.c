/* SPDX-License-Identifier: Apache-2.0 */
/* test_tap: a real tap device, where the caller may make one: packets both ways through the network
 * device, and every reason not to get it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_mmio.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/num.h"
#include "devices/net.h"
#include "tests/fake/io.h"
#include "vmm/tap.h"

#define F(bit)     VIRTIO_FEATURE(bit)
#define ETHER_TYPE 0x88b5 /* for experiments: nobody else sends it */
#define BUFFERS    UINT64_C(0x80000)
#define SENT       UINT64_C(0x60000)

static bool allowed; /* to make taps in a network of our own */

static int make_tap(const char *name, int flags)
{
	struct ifreq request = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags) };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	strcpy(request.ifr_name, name);
	if (fd >= 0 && (ioctl(fd, TUNSETIFF, &request) || ioctl(fd, TUNSETPERSIST, 1)))
		fd_close(&fd);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static void remove_tap(const char *name, int flags)
{
	struct ifreq request = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags) };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	strcpy(request.ifr_name, name);
	assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 0), 0);
	close(fd);
}

static void set_up(const char *name, bool up)
{
	struct ifreq request = { .ifr_flags = up ? IFF_UP : 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(request.ifr_name, name);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}

/* Sees all frames of our type on the host's side of the tap. */
static int host_side(const char *name)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETHER_TYPE),
		.sll_ifindex = (int)if_nametoindex(name),
	};
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETHER_TYPE));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* ---- Reasons not to get it ---- */

static void refused(const char *name, uint16_t pairs, int code, const char *text)
{
	struct net_backend *backend = NULL;
	struct error error = { 0 };

	assert_int_equal(tap_open(&backend, name, pairs, &error), -code);
	assert_null(backend);
	assert_int_equal(error.code, code);
	if (!strstr(error.text, text))
		fail_msg("'%s' is not in '%s'", text, error.text);
}

static void test_no_such_tap(void **state)
{
	(void)state;
	refused("stet-none0", 1, ENODEV, "there is no tap stet-none0");
	refused("a-name-that-is-too-long", 1, ENAMETOOLONG, "at most 15 bytes");
	refused("", 1, ENODEV, "there is no tap");
	refused("lo", 33, EINVAL, "1 to 32");
	assert_int_equal(if_nametoindex("stet-none0"), 0);
}

static void test_not_a_tap(void **state)
{
	(void)state;
	if (!allowed)
		skip();
	refused("lo", 1, EINVAL, "lo is no tap device");
}

static void test_busy(void **state)
{
	struct net_backend *backend = NULL;

	(void)state;
	if (!allowed)
		skip();
	assert_int_equal(make_tap("stet-t0", 0), 0);
	assert_int_equal(tap_open(&backend, "stet-t0", 1, NULL), 0);
	refused("stet-t0", 1, EBUSY, "in use");
	refused("stet-t0", 2, EINVAL, "multi_queue");
	net_backend_destroy(backend);
	remove_tap("stet-t0", 0);
}

static void test_not_ours(void **state)
{
	(void)state;
	if (!allowed)
		skip();
	assert_int_equal(make_tap("stet-t1", 0), 0);
	assert_int_equal(seteuid(65534), 0);
	/* /dev/net/tun itself may be closed to others: then the sentence is about it. */
	if (euidaccess("/dev/net/tun", R_OK | W_OK) == 0)
		refused("stet-t1", 1, EPERM, "not ours");
	else
		refused("stet-t1", 1, EACCES, "/dev/net/tun");
	assert_int_equal(seteuid(0), 0);
	remove_tap("stet-t1", 0);
}

/* ---- Packets ---- */

struct bench {
	struct fake_io io;
	struct virtio *virtio;
	struct fake_queue q[5];
	unsigned int buffers;
};

static void begin(struct bench *bench, const char *name, uint16_t pairs)
{
	struct net_setup setup = { .mac = { 2, 0, 0, 0, 0, 1 } };
	struct error error = { 0 };
	uint64_t features = F(VIRTIO_F_VERSION_1) | F(VIRTIO_RING_F_EVENT_IDX) |
			    F(VIRTIO_NET_F_MRG_RXBUF) | F(VIRTIO_NET_F_CSUM) |
			    F(VIRTIO_NET_F_GUEST_CSUM) | F(VIRTIO_NET_F_GUEST_TSO4) |
			    F(VIRTIO_NET_F_GUEST_TSO6) | F(VIRTIO_NET_F_GUEST_ECN);

	fake_io_init(&bench->io);
	setup.ram = &bench->io.ram;
	setup.log = &bench->io.log;
	setup.loop = bench->io.loop;
	assert_int_equal(tap_open(&setup.backend, name, pairs, &error), 0);
	features |= setup.backend->features &
		    (F(NET_F_GUEST_USO4) | F(NET_F_GUEST_USO6) | F(NET_F_HOST_USO));
	if (pairs > 1)
		features |= F(VIRTIO_NET_F_CTRL_VQ) | F(VIRTIO_NET_F_MQ);
	assert_int_equal(net_create(&bench->virtio, &setup, NULL), 0);
	fake_io_start(&bench->io, bench->virtio);
	for (unsigned int i = 0; i < bench->virtio->queue_count; i++)
		fake_queue_init(&bench->q[i], &bench->io.ram, 0x10000 + i * FAKE_QUEUE_BYTES, 256,
				true);
	assert_true(
		fake_mmio_start(bench->io.mmio, features, bench->q, bench->virtio->queue_count));
	for (unsigned int i = 0; i < 64; i++) {
		const struct fake_buffer buffer = { BUFFERS + 2048 * i, 2048, true };

		fake_queue_add(&bench->q[0], &buffer, 1);
	}
	fake_io_kick(&bench->io, 0, &bench->q[0]);
}

/*
 * The kernel sends frames of its own as soon as a link is up: skips to ours. It also takes its time
 * to start a link's queue, and drops what is sent before: the frame is sent again until it arrives.
 */
static uint32_t receive(struct bench *bench, int host, const uint8_t *out, size_t out_bytes,
			uint8_t **frame)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	uint32_t head, bytes;

	for (int i = 0; i < 20000; i++) {
		if (i % 1000 == 0)
			assert_int_equal(write(host, out, out_bytes), out_bytes);
		if (!fake_queue_used(&bench->q[0], &head, &bytes)) {
			nanosleep(&pause, NULL);
			continue;
		}
		*frame = bench->io.ram.ranges[0].host + BUFFERS + 2048 * head + NET_HEADER_BYTES;
		if (load_le16(*frame + 12) == htons(ETHER_TYPE))
			return bytes - NET_HEADER_BYTES;
	}
	fail_msg("no frame came");
	return 0;
}

static void send_frame(struct bench *bench, unsigned int pair, uint32_t bytes)
{
	uint8_t *packet = bench->io.ram.ranges[0].host + SENT;
	const struct fake_buffer buffer = { SENT, NET_HEADER_BYTES + bytes, false };
	uint32_t head, length;

	memset(packet, 0, NET_HEADER_BYTES);
	memset(packet + NET_HEADER_BYTES, 0xff, 6);
	memcpy(packet + NET_HEADER_BYTES + 6, "\x02\0\0\0\0\x01\x88\xb5", 8);
	memset(packet + NET_HEADER_BYTES + 14, 0x42, bytes - 14);
	fake_queue_add(&bench->q[2 * pair + 1], &buffer, 1);
	fake_io_kick(&bench->io, 2 * pair + 1, &bench->q[2 * pair + 1]);
	assert_true(fake_io_used(&bench->q[2 * pair + 1], &head, &length));
}

static void exchange(struct bench *bench, int host, unsigned int pair)
{
	uint8_t out[1000] = { 0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5 }, in[2048];
	struct pollfd ready = { .fd = host, .events = POLLIN };
	uint8_t *frame;

	send_frame(bench, pair, 700);
	assert_int_equal(poll(&ready, 1, 5000), 1);
	assert_int_equal(read(host, in, sizeof(in)), 700);
	assert_int_equal(in[699], 0x42);
	memset(out + 14, 0x24, sizeof(out) - 14);
	assert_int_equal(receive(bench, host, out, sizeof(out), &frame), sizeof(out));
	assert_memory_equal(frame, out, sizeof(out));
}

static void test_packets(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	int host;

	(void)state;
	if (!allowed) {
		free(bench);
		skip();
	}
	assert_int_equal(make_tap("stet-t2", 0), 0);
	set_up("stet-t2", true);
	host = host_side("stet-t2");
	begin(bench, "stet-t2", 1);
	exchange(bench, host, 0);
	/* A link that the host turns off loses packets, and comes back. */
	set_up("stet-t2", false);
	send_frame(bench, 0, 100);
	assert_int_equal(net_stats(bench->virtio)->send_dropped, 1);
	set_up("stet-t2", true);
	close(host);
	host = host_side("stet-t2");
	exchange(bench, host, 0);
	close(host);
	fake_io_fini(&bench->io);
	remove_tap("stet-t2", 0);
	free(bench);
}

static void test_queues(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	const struct fake_buffer command[] = { { SENT, 4, false }, { SENT + 64, 1, true } };
	uint32_t head, bytes;
	uint8_t *ram;
	int host;

	(void)state;
	if (!allowed) {
		free(bench);
		skip();
	}
	assert_int_equal(make_tap("stet-t3", IFF_MULTI_QUEUE), 0);
	set_up("stet-t3", true);
	host = host_side("stet-t3");
	begin(bench, "stet-t3", 2);
	exchange(bench, host, 0);
	ram = bench->io.ram.ranges[0].host + SENT;
	for (unsigned int pairs = 2; pairs >= 1; pairs--) {
		memcpy(ram, (uint8_t[]){ 4, 0, (uint8_t)pairs, 0 }, 4);
		ram[64] = 1;
		fake_queue_add(&bench->q[4], command, 2);
		fake_io_kick(&bench->io, 4, &bench->q[4]);
		assert_true(fake_io_used(&bench->q[4], &head, &bytes));
		assert_int_equal(ram[64], 0);
	}
	exchange(bench, host, 0);
	close(host);
	fake_io_fini(&bench->io);
	/* One queue of a tap that was made for several will do. */
	memset(bench, 0, sizeof(*bench));
	host = host_side("stet-t3");
	begin(bench, "stet-t3", 1);
	exchange(bench, host, 0);
	close(host);
	fake_io_fini(&bench->io);
	remove_tap("stet-t3", IFF_MULTI_QUEUE);
	free(bench);
}

static void test_removed(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	const struct timespec pause = { .tv_nsec = 1000000 };

	(void)state;
	/* Only a tool for network links removes a tap in use. */
	if (!allowed || system("command -v ip >/dev/null")) {
		free(bench);
		skip();
	}
	assert_int_equal(make_tap("stet-t4", 0), 0);
	set_up("stet-t4", true);
	begin(bench, "stet-t4", 1);
	assert_int_equal(system("ip link del stet-t4"), 0);
	for (unsigned int i = 0; i < 5000 && !atomic_load(&bench->io.lines); i++)
		nanosleep(&pause, NULL);
	fake_io_stop(&bench->io);
	assert_int_equal(atomic_load(&bench->io.lines), 1);
	assert_non_null(strstr(bench->io.line, "tap backend is gone"));
	fake_io_fini(&bench->io);
	free(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_such_tap), cmocka_unit_test(test_not_a_tap),
		cmocka_unit_test(test_busy),        cmocka_unit_test(test_not_ours),
		cmocka_unit_test(test_packets),     cmocka_unit_test(test_queues),
		cmocka_unit_test(test_removed),
	};

	allowed = geteuid() == 0 && unshare(CLONE_NEWNET) == 0 && make_tap("stet-t", 0) == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
