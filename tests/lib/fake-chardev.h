/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A character backend without a host: output goes to an array, and only as much as the test allows; input
 * comes from another, when the device has room. It does nothing by itself: fake_chardev_run() is its loop.
 */
#ifndef VMM_TESTS_FAKE_CHARDEV_H
#define VMM_TESTS_FAKE_CHARDEV_H

#include "devices/chardev/chardev.h"

VmmChardev *fake_chardev_new (void);
/* How many more bytes of output are taken; SIZE_MAX, as at first, for all. */
void fake_chardev_allow (VmmChardev *chardev, size_t budget);
void fake_chardev_type (VmmChardev *chardev, const char *text, size_t len);
/* Delivers drained() when output was refused and there is budget, then input while the device has room. */
void fake_chardev_run (VmmChardev *chardev);
const GByteArray *fake_chardev_output (VmmChardev *chardev);
size_t fake_chardev_input_left (VmmChardev *chardev);
unsigned fake_chardev_n_accepts (VmmChardev *chardev);
bool fake_chardev_has_frontend (VmmChardev *chardev);

#endif
