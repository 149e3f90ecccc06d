/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balloon's pages are 4 KiB, and where the guest's memory is of huge pages only whole ones can be given
 * back. A guest that inflates its balloon names all parts of a huge page sooner or later, in any order: a bit
 * for each part remembers which of them are in the balloon, and a count for each huge page tells when it is
 * there as a whole.
 *
 * That is right only as long as a part that has left the balloon is not used before its bit is gone: the
 * driver must have accepted to tell the host before (VIRTIO_BALLOON_F_MUST_TELL_HOST, virtio 1.2
 * section 5.5.6.1). One that lies loses its own memory.
 */
#include "devices/virtio/balloon-huge.h"

#define PAGE_SHIFT 12u
#define WORD_BITS 64u

struct _VmmBalloonHuge {
    uint64_t n_pages; /* from address 0 to the end of RAM */
    unsigned parts;   /* pages of a huge page */
    uint64_t *in;
    uint32_t *counts; /* of each huge page's parts */
};

/**
 * vmm_balloon_huge_new:
 * @memory: what the balloon is in
 *
 * Returns: (transfer full): nothing is in the balloon
 */
VmmBalloonHuge *
vmm_balloon_huge_new (VmmGuestMemory *memory)
{
    const VmmMemRegion *last = vmm_guest_memory_region (memory, vmm_guest_memory_n_regions (memory) - 1);
    VmmBalloonHuge *huge = g_new0 (VmmBalloonHuge, 1);

    huge->parts = (unsigned)(vmm_guest_memory_page_size (memory) >> PAGE_SHIFT);
    huge->n_pages = (last->gpa + last->size) >> PAGE_SHIFT;
    huge->in = g_new0 (uint64_t, huge->n_pages / WORD_BITS + 1);
    huge->counts = g_new0 (uint32_t, huge->n_pages / huge->parts + 1);
    return huge;
}

/**
 * vmm_balloon_huge_free:
 * @huge: (nullable): what was in the balloon is forgotten
 */
void
vmm_balloon_huge_free (VmmBalloonHuge *huge)
{
    if (huge == NULL)
        return;
    g_free (huge->in);
    g_free (huge->counts);
    g_free (huge);
}

static bool
is_in (const VmmBalloonHuge *huge, uint64_t page)
{
    return (huge->in[page / WORD_BITS] >> page % WORD_BITS & 1) != 0;
}

/**
 * vmm_balloon_huge_inflate:
 * @page: a 4 KiB page, by its number; one that is beyond all RAM is none
 *
 * Returns: whether this was the last part of its huge page, which may be given back now
 */
bool
vmm_balloon_huge_inflate (VmmBalloonHuge *huge, uint64_t page)
{
    if (page >= huge->n_pages || is_in (huge, page))
        return false;
    huge->in[page / WORD_BITS] |= UINT64_C (1) << page % WORD_BITS;
    return ++huge->counts[page / huge->parts] == huge->parts;
}

/**
 * vmm_balloon_huge_deflate:
 * @page: a 4 KiB page, by its number, that the guest takes back
 */
void
vmm_balloon_huge_deflate (VmmBalloonHuge *huge, uint64_t page)
{
    if (page >= huge->n_pages || !is_in (huge, page))
        return;
    huge->in[page / WORD_BITS] &= ~(UINT64_C (1) << page % WORD_BITS);
    huge->counts[page / huge->parts]--;
}
