/* SPDX-License-Identifier: Apache-2.0 */
/* Ends well where ThreadSanitizer can run at all: it needs its own place in the address space. */
int
main (void)
{
    return 0;
}
