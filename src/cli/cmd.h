/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of vmm. Each takes its own arguments, argv[0] being the command's name, and returns the exit
 * code of the process, one of those that vmm(1) lists.
 */
#ifndef CLI_CMD_H
#define CLI_CMD_H

int cmd_boot (int argc, char **argv);
int cmd_ctl (int argc, char **argv);
int cmd_disk (int argc, char **argv);
int cmd_inspect (int argc, char **argv);
int cmd_kernel (int argc, char **argv);
int cmd_record (int argc, char **argv);
int cmd_run (int argc, char **argv);
int cmd_test (int argc, char **argv);
int cmd_doctor (int argc, char **argv);

#endif
