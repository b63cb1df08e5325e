/* SPDX-License-Identifier: Apache-2.0 */
/* watch: what changes the stage 2 of another process's VM, how often, and by whom. */
#ifndef VMM_WATCH_H
#define VMM_WATCH_H

#include "base/error.h"
#include "base/text.h"
#include "vmm/stet.h"

/* As the functions of stet.h. */
int watch_open(int pid, struct stet_watch **watch, struct error *error);
int watch_report(struct stet_watch *watch, enum stet_format format, struct text *text,
		 struct error *error);
void watch_close(struct stet_watch *watch);

#endif
