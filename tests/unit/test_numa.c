/* SPDX-License-Identifier: Apache-2.0 */
/* test_numa: the policy a mapping has afterwards, as the kernel tells it. */
#include <linux/mempolicy.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "mem/numa.h"

#define BYTES          (1 << 20)
#define NODES          1025
#define NUMA_BALANCING (1 << 13)

struct policy {
	int mode;
	unsigned long nodes[16];
};

/* memory NULL: the thread's own policy. */
static struct policy policy_of(void *memory)
{
	struct policy policy = { 0 };

	assert_int_equal(syscall(SYS_get_mempolicy, &policy.mode, policy.nodes, NODES, memory,
				 memory ? MPOL_F_ADDR : 0),
			 0);
	return policy;
}

static void *map(void)
{
	void *memory =
		mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

static struct policy pinned(void)
{
	struct policy policy;
	void *memory = map();

	assert_true(numa_pin(memory, BYTES));
	policy = policy_of(memory);
	munmap(memory, BYTES);
	return policy;
}

/* Kernels without NUMA and sandboxes have none of it; then numa_pin() says so. */
static int is_numa_usable(void)
{
	struct policy policy;
	void *memory = map();
	int usable = syscall(SYS_get_mempolicy, &policy.mode, NULL, 0, NULL, 0) == 0;

	if (!usable)
		assert_false(numa_pin(memory, BYTES));
	munmap(memory, BYTES);
	return usable;
}

static void all_allowed_nodes(void **state)
{
	unsigned long allowed[16] = { 0 };
	struct policy policy;

	(void)state;
	if (!is_numa_usable() || policy_of(NULL).mode != MPOL_DEFAULT)
		skip();
	policy = pinned();
	assert_int_equal(
		syscall(SYS_get_mempolicy, NULL, allowed, NODES, NULL, MPOL_F_MEMS_ALLOWED), 0);
	assert_int_equal(policy.mode, MPOL_BIND);
	assert_memory_equal(policy.nodes, allowed, sizeof(allowed));
}

/* What numactl set is kept, whatever it is, but for balancing. */
static void policy_of_the_thread(void **state)
{
	static const int modes[] = { MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE,
				     MPOL_BIND | NUMA_BALANCING };
	unsigned long node0[16] = { 1 };
	struct policy policy;
	unsigned int i;

	(void)state;
	if (!is_numa_usable())
		skip();
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		/* Linux before 5.12 knows no MPOL_BIND with balancing. */
		if (syscall(SYS_set_mempolicy, modes[i], node0, NODES))
			continue;
		policy = pinned();
		assert_int_equal(policy.mode, modes[i] & ~NUMA_BALANCING);
		assert_memory_equal(policy.nodes, node0, sizeof(node0));
	}
	assert_int_equal(syscall(SYS_set_mempolicy, MPOL_LOCAL, NULL, 0), 0);
	assert_int_equal(pinned().mode, MPOL_LOCAL);
	assert_int_equal(syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0), 0);
}

static void no_mapping(void **state)
{
	void *memory = map();

	(void)state;
	munmap(memory, BYTES);
	assert_false(numa_pin(memory, BYTES));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_allowed_nodes),
		cmocka_unit_test(policy_of_the_thread),
		cmocka_unit_test(no_mapping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
