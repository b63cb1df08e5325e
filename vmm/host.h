/* SPDX-License-Identifier: Apache-2.0 */
/* host: what this host can do, what that means for zero stage-2 faults, and how to change it. */
#ifndef VMM_HOST_H
#define VMM_HOST_H

#include <stdbool.h>

#include "base/text.h"
#include "vmm/stet.h"

/* Appends the report; makes a small VM to try what the kernel says. Returns whether zero stage-2
 * faults are possible. */
bool host_report(enum stet_format format, struct text *text);

#endif
