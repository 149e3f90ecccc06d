/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_WORKER_H
#define CLI_TEST_WORKER_H

#include "scenario.h"

int test_worker_run (const TestRun *run, const char *results, int event_fd);

#endif
