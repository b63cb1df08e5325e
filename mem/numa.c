/* SPDX-License-Identifier: Apache-2.0 */
/* numa: a memory policy that keeps NUMA balancing away from a mapping. */
#include "mem/numa.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NODES_MAX 1024 /* what a kernel can be built for */
#define LONG_BITS (8 * sizeof(unsigned long))

/* The kernel takes one more than the number of bits. */
#define NODES_ARGUMENT (NODES_MAX + 1)

#ifndef MPOL_F_NUMA_BALANCING
#define MPOL_F_NUMA_BALANCING (1 << 13)
#endif

bool numa_pin(void *memory, uint64_t bytes)
{
	unsigned long nodes[NODES_MAX / LONG_BITS] = { 0 };
	int mode = MPOL_DEFAULT;

	if (syscall(SYS_get_mempolicy, &mode, nodes, NODES_ARGUMENT, NULL, 0))
		return false;
	/* A user's policy (numactl) stays; what it loses is the wish to be balanced. */
	mode &= ~MPOL_F_NUMA_BALANCING;
	if (mode == MPOL_DEFAULT) {
		if (syscall(SYS_get_mempolicy, NULL, nodes, NODES_ARGUMENT, NULL,
			    MPOL_F_MEMS_ALLOWED))
			return false;
		mode = MPOL_BIND;
	}
	return syscall(SYS_mbind, memory, bytes, mode, nodes, NODES_ARGUMENT, 0) == 0;
}
