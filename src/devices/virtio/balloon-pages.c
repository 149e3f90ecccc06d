/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's pages are to the host: how they go back to it. See balloon.c. */
#include "devices/virtio/balloon-internal.h"

#include <errno.h>
#include <stdlib.h>

#define BATCH 256u
/* The pages of one chain; what it has beyond is not given back. */
#define PAGES_PER_CHAIN 4096u
/* No driver takes more back by one chain. */
#define DEFLATE_PER_CHAIN 65536u

/**
 * vmm_balloon_has_huge_pages:
 *
 * Returns: whether a page of the host's is more than a page of the balloon's
 */
bool
vmm_balloon_has_huge_pages (const VmmBalloon *balloon)
{
    return vmm_guest_memory_page_size (balloon->memory) > UINT64_C (1) << VMM_BALLOON_PAGE_SHIFT;
}

static int
compare_pages (const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* What became of an attempt to give memory back. That it was not RAM is the guest's own affair. */
static void
check_discard (VmmBalloon *balloon, bool ok, uint64_t given)
{
    if (balloon->told || (ok && given > 0) || (!ok && errno == EFAULT))
        return;
    if (!ok)
        vmm_virtio_device_warn (balloon->device, "the host does not take memory back: %s",
                                g_strerror (errno));
    else if (vmm_balloon_has_huge_pages (balloon) && balloon->huge == NULL)
        vmm_virtio_device_warn (
            balloon->device,
            "the guest gives back less than whole huge pages: that stays with it (see mem-backing)");
    else
        return;
    balloon->told = true;
}

static void
discard (VmmBalloon *balloon, uint64_t gpa, uint64_t len)
{
    uint64_t given;
    bool ok = vmm_guest_memory_discard (balloon->memory, gpa, len, &given);

    check_discard (balloon, ok, given);
}

/* Neighbours are given back together: one call of the kernel, and huge pages go whole. */
static void
discard_pages (VmmBalloon *balloon, uint32_t *pages, unsigned n)
{
    unsigned i = 0;

    qsort (pages, n, sizeof *pages, compare_pages);
    while (i < n) {
        unsigned first = i++;

        while (i < n && pages[i] - pages[i - 1] <= 1)
            i++;
        discard (balloon, (uint64_t)pages[first] << VMM_BALLOON_PAGE_SHIFT,
                 ((uint64_t)pages[i - 1] - pages[first] + 1) << VMM_BALLOON_PAGE_SHIFT);
    }
}

/* Pages of memory that is of huge ones. */
static void
count_pages (VmmBalloon *balloon, const uint32_t *pages, unsigned n)
{
    uint64_t huge = vmm_guest_memory_page_size (balloon->memory);

    for (unsigned i = 0; i < n; i++) {
        uint64_t gpa = (uint64_t)pages[i] << VMM_BALLOON_PAGE_SHIFT;

        if (vmm_balloon_huge_inflate (balloon->huge, pages[i]))
            discard (balloon, gpa & ~(huge - 1), huge);
    }
}

static void
take_pages (VmmBalloon *balloon, uint32_t *pages, unsigned n)
{
    if (balloon->huge != NULL)
        count_pages (balloon, pages, n);
    else
        discard_pages (balloon, pages, n);
}

static void
return_pages (VmmBalloon *balloon, uint32_t *pages, unsigned n)
{
    for (unsigned i = 0; balloon->huge != NULL && i < n; i++)
        vmm_balloon_huge_deflate (balloon->huge, pages[i]);
}

/* The numbers of pages in a chain, up to @max of them, by some at a time. */
static void
for_pages (VmmBalloon *balloon, VmmChain *chain, uint64_t max,
           void (*func) (VmmBalloon *balloon, uint32_t *pages, unsigned n))
{
    uint32_t pages[BATCH];
    uint64_t done = 0;

    while (done < max) {
        unsigned n = (unsigned)(vmm_chain_read (chain, pages, sizeof pages) / sizeof pages[0]);

        if (n == 0)
            break;
        for (unsigned i = 0; i < n; i++)
            pages[i] = GUINT32_FROM_LE (pages[i]);
        func (balloon, pages, n);
        done += n;
    }
}

/**
 * vmm_balloon_inflate:
 *
 * The chain names pages that the guest will not use.
 */
void
vmm_balloon_inflate (VmmBalloon *balloon)
{
    for_pages (balloon, &balloon->chain, PAGES_PER_CHAIN, take_pages);
}

/**
 * vmm_balloon_deflate:
 *
 * The chain names pages that the guest takes back.
 */
void
vmm_balloon_deflate (VmmBalloon *balloon)
{
    if (balloon->huge == NULL)
        return;
    for_pages (balloon, &balloon->chain, DEFLATE_PER_CHAIN, return_pages);
    /* What was not counted off is in use, and must not go with a huge page that seems to be complete. */
    if (balloon->chain.readable_left >= sizeof (uint32_t))
        g_clear_pointer (&balloon->huge, vmm_balloon_huge_free);
}

/**
 * vmm_balloon_report:
 *
 * Each buffer of the chain is a run of free pages (section 5.5.6.7).
 */
void
vmm_balloon_report (VmmBalloon *balloon)
{
    const VmmChain *chain = &balloon->chain;
    uint64_t left = vmm_guest_memory_size (balloon->memory);

    for (unsigned i = 0; i < chain->n_writable; i++) {
        const struct iovec *run = &chain->iov[chain->n_readable + i];
        uint64_t given;
        bool ok;

        /* More than all there is cannot be free. */
        if (run->iov_len > left)
            break;
        left -= run->iov_len;
        ok = vmm_guest_memory_discard_mapped (balloon->memory, run, &given);
        check_discard (balloon, ok, given);
    }
}
