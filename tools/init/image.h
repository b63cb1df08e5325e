/* SPDX-License-Identifier: Apache-2.0 */
/* image: the program init, inside this one. */
#ifndef TOOLS_INIT_IMAGE_H
#define TOOLS_INIT_IMAGE_H

extern const unsigned char init_image[], init_image_end[];

#endif
