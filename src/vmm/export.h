/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marks what libvmm exports: the library is built with hidden visibility, so a function without this mark is
 * private to it.
 */
#ifndef VMM_EXPORT_H
#define VMM_EXPORT_H

#define VMM_EXPORT __attribute__ ((visibility ("default")))

#endif
