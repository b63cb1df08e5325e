/* SPDX-License-Identifier: Apache-2.0 */
/* root: a directory tree as the guest's initrd: what a configuration says of it. */
#ifndef VMM_ROOT_H
#define VMM_ROOT_H

#include "base/error.h"
#include "base/log.h"
#include "boot/tree.h"
#include "vmm/stet.h"

/*
 * Looks at config->root_dir; where memory_bytes is 0, sets it to what the tree and working on it
 * take, as far as the host has it; -EFBIG where that is too little. log must outlive the tree,
 * which is the caller's as soon as *tree is set, on failure as well.
 */
int root_open(struct tree **tree, struct stet_config *config, const struct log *log,
	      struct error *error);

#endif
