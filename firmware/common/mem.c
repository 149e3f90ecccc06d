/* SPDX-License-Identifier: Apache-2.0 */
/* Compilers call these even in freestanding code. */
#include <stddef.h>

void *memcpy (void *to, const void *from, size_t n);
void *memset (void *to, int value, size_t n);

void *
memcpy (void *to, const void *from, size_t n)
{
    void *at = to;

    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
    return to;
}

void *
memset (void *to, int value, size_t n)
{
    void *at = to;

    __asm__ volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(value) : "memory");
    return to;
}
