/* SPDX-License-Identifier: Apache-2.0 */
/* test_blk_kill: what a flush acknowledged is in the image when the process is killed right after,
 * 200 times. */
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/num.h"
#include "devices/blk.h"
#include "devices/virtio_mmio.h"
#include "tests/fake/guest.h"
#include "tests/fake/plug.h"

#define KILLS       200
#define WRITES      16
#define IMAGE_BYTES 0x40000
#define HEADER      0x20000
#define STATUS      0x20100
#define DATA        0x21000

static struct ram ram;
static struct fake_plug plug;
static struct fake_queue q;

static void request(uint32_t type, uint64_t sector)
{
	const struct fake_buffer buffers[] = {
		{ HEADER, 16, false },
		{ DATA, 4096, false },
		{ STATUS, 1, true },
	};
	const struct fake_buffer flush[] = { buffers[0], buffers[2] };
	const struct timespec moment = { .tv_nsec = 20000 };
	uint32_t head, bytes;

	store_le32(ram_ptr(&ram, HEADER, 4), type);
	store_le64(ram_ptr(&ram, HEADER + 8, 8), sector);
	if (type == VIRTIO_BLK_T_FLUSH)
		fake_queue_add(&q, flush, 2);
	else
		fake_queue_add(&q, buffers, 3);
	fake_plug_kick(&plug, 0);
	while (!fake_queue_used(&q, &head, &bytes))
		nanosleep(&moment, NULL);
	if (*(uint8_t *)ram_ptr(&ram, STATUS, 1) != VIRTIO_BLK_S_OK)
		_exit(1);
}

/* Writes blocks full of seed, flushes, and is gone before it can do anything else. */
static void child(const char *path, const struct image_options *options, uint8_t seed)
{
	struct blk_config config = { .queue_count = 1 };
	const struct log log = { 0 };
	struct virtio *blk;
	struct device *mmio;

	fake_ram_init(&ram);
	fake_plug_init(&plug);
	if (image_open(&config.image, path, options, NULL) ||
	    blk_create(&blk, &config, &ram, plug.loop, &log, NULL))
		_exit(1);
	mmio = virtio_mmio_create(blk, &plug.wiring);
	fake_plug_start(&plug, blk);
	fake_queue_init(&q, &ram, 0, 64, true);
	if (!mmio || !fake_mmio_start(mmio,
				      VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |
					      VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX),
				      &q, 1))
		_exit(1);
	memset(ram_ptr(&ram, DATA, 4096), seed, 4096);
	for (unsigned int i = 0; i < WRITES; i++)
		request(VIRTIO_BLK_T_OUT, i * 16);
	request(VIRTIO_BLK_T_FLUSH, 0);
	kill(getpid(), SIGKILL);
}

static void kill_often(const char *folder, bool direct, unsigned int kills)
{
	const struct image_options options = { .direct = direct };
	uint8_t block[4096], expected[4096];
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/test_blk_kill.XXXXXX", folder);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, IMAGE_BYTES), 0);
	for (unsigned int round = 1; round <= kills; round++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			child(path, &options, (uint8_t)round);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		memset(expected, (uint8_t)round, sizeof(expected));
		for (unsigned int i = 0; i < WRITES; i++) {
			assert_int_equal(pread(fd, block, sizeof(block), i * 8192), 4096);
			assert_memory_equal(block, expected, sizeof(block));
		}
	}
	close(fd);
	unlink(path);
}

static void test_at_once(void **state)
{
	(void)state;
	kill_often("/tmp", false, KILLS);
}

static void test_direct(void **state)
{
	(void)state;
	kill_often("/tmp", true, KILLS / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_direct),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
