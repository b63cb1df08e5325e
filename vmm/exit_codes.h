/* SPDX-License-Identifier: Apache-2.0 */
/* exit_codes: names of the hardware's exit codes, for KVM's histogram of them. */
#ifndef VMM_EXIT_CODES_H
#define VMM_EXIT_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The name of bucket of KVM's exit_reason_hist (with stet's patches): VMX basic exit reasons (Intel
 * SDM volume 3, appendix C) or SVM exit codes (AMD APM volume 2, appendix C). Stable. What has no
 * name here is "code-NUMBER", written to text.
 */
const char *exit_code_name(bool intel, uint32_t bucket, char *text, size_t bytes);

#endif
