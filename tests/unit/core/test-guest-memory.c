/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/core/guest-memory.h"
#include "vmm/error.h"

#define PAGE VMM_GUEST_PAGE_SIZE
#define GIB (1ull << 30)

/* Two regions that touch, and a third beyond a hole. */
static const VmmMemRange three[] = {{0, 4 * PAGE}, {4 * PAGE, 4 * PAGE}, {0x100000, 2 * PAGE}};
#define RAM_END (8 * PAGE)
#define FAR 0x100000u
#define FAR_END (FAR + 2 * PAGE)

static VmmGuestMemory *
make (void)
{
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_ANON};
    VmmGuestMemory *memory = vmm_guest_memory_new (three, G_N_ELEMENTS (three), &backing, NULL);

    cr_assert_not_null (memory);
    return memory;
}

Test (guest_memory, regions_are_as_asked)
{
    g_autoptr (VmmGuestMemory) memory = make ();

    cr_assert_eq (vmm_guest_memory_size (memory), 10 * PAGE);
    cr_assert_eq (vmm_guest_memory_n_regions (memory), 3u);
    for (size_t i = 0; i < 3; i++) {
        const VmmMemRegion *r = vmm_guest_memory_region (memory, i);

        cr_assert_eq (r->gpa, three[i].gpa);
        cr_assert_eq (r->size, three[i].size);
        cr_assert_eq ((uintptr_t)r->host % PAGE, 0u, "KVM takes whole pages");
    }
    cr_assert_eq (vmm_guest_memory_fd (memory), -1);
}

Test (guest_memory, starts_as_zeros)
{
    g_autoptr (VmmGuestMemory) memory = make ();
    uint8_t buf[8 * PAGE];

    memset (buf, 0xff, sizeof buf);
    cr_assert (vmm_guest_memory_read (memory, 0, buf, sizeof buf));
    for (size_t i = 0; i < sizeof buf; i++)
        cr_assert_eq (buf[i], 0);
}

Test (guest_memory, what_is_written_is_read)
{
    g_autoptr (VmmGuestMemory) memory = make ();
    char buf[6] = "";

    cr_assert (vmm_guest_memory_write (memory, FAR_END - 5, "hello", 5));
    cr_assert (vmm_guest_memory_read (memory, FAR_END - 5, buf, 5));
    cr_assert_str_eq (buf, "hello");
    cr_assert_eq (vmm_guest_memory_region (memory, 2)->host[2 * PAGE - 5], 'h');
}

Test (guest_memory, access_goes_across_regions_that_touch)
{
    g_autoptr (VmmGuestMemory) memory = make ();
    char buf[6] = "";

    cr_assert (vmm_guest_memory_write (memory, 4 * PAGE - 2, "hello", 5));
    cr_assert (vmm_guest_memory_read (memory, 4 * PAGE - 2, buf, 5));
    cr_assert_str_eq (buf, "hello");
    cr_assert_eq (vmm_guest_memory_region (memory, 0)->host[4 * PAGE - 1], 'e');
    cr_assert_eq (vmm_guest_memory_region (memory, 1)->host[0], 'l');
}

/* Each leaves RAM somewhere. */
static const struct {
    uint64_t gpa;
    uint64_t len;
} outside[] = {
    {RAM_END, 1},
    {RAM_END - 1, 2},
    {RAM_END - 1, FAR - RAM_END + 2},
    {FAR - 1, 1},
    {FAR - 1, 2},
    {FAR_END, 1},
    {FAR_END - 1, 2},
    {0, RAM_END + 1},
    {0, UINT64_MAX},
    {1, UINT64_MAX},
    {UINT64_MAX, 1},
    {UINT64_MAX, 2},
    {UINT64_MAX, UINT64_MAX},
    {UINT64_MAX - PAGE + 1, 2 * PAGE},
    {FAR, UINT64_MAX - FAR + 2},
    {1ull << 63, 1ull << 63},
};

Test (guest_memory, ranges_that_leave_ram_are_refused_and_nothing_is_done)
{
    g_autoptr (VmmGuestMemory) memory = make ();
    uint8_t buf[16];
    struct iovec iov[4];

    for (size_t i = 0; i < G_N_ELEMENTS (outside); i++) {
        uint64_t gpa = outside[i].gpa;
        uint64_t len = outside[i].len;

        memset (buf, 0xee, sizeof buf);
        cr_assert_not (vmm_guest_memory_contains (memory, gpa, len), "case %zu", i);
        cr_assert_not (vmm_guest_memory_fill (memory, gpa, 0xaa, len), "case %zu", i);
        cr_assert_null (vmm_guest_memory_ptr (memory, gpa, len), "case %zu", i);
        cr_assert_eq (vmm_guest_memory_map (memory, gpa, len, iov, 4), 0u, "case %zu", i);
        /* The length is refused before a byte is touched, so a short buffer is enough. */
        cr_assert_not (vmm_guest_memory_read (memory, gpa, buf, len), "case %zu", i);
        cr_assert_not (vmm_guest_memory_write (memory, gpa, buf, len), "case %zu", i);
        cr_assert_eq (buf[0], 0xee, "case %zu", i);
    }
    for (uint64_t gpa = 0; gpa < RAM_END; gpa += 8) {
        uint64_t value = 1;

        cr_assert (vmm_guest_memory_load_u64_acquire (memory, gpa, &value));
        cr_assert_eq (value, 0u, "0x%llx was written", (unsigned long long)gpa);
    }
}

Test (guest_memory, contains_knows_each_end)
{
    g_autoptr (VmmGuestMemory) memory = make ();

    cr_assert (vmm_guest_memory_contains (memory, 0, RAM_END));
    cr_assert (vmm_guest_memory_contains (memory, RAM_END - 1, 1));
    cr_assert (vmm_guest_memory_contains (memory, FAR, 2 * PAGE));
    cr_assert (vmm_guest_memory_contains (memory, 0, 0));
}

Test (guest_memory, range_does_not_wrap_from_the_top_to_ram_at_0)
{
    VmmMemRange ranges[] = {{0, PAGE}, {UINT64_MAX - 2 * PAGE + 1, PAGE}};
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_ANON};
    g_autoptr (VmmGuestMemory) memory = vmm_guest_memory_new (ranges, 2, &backing, NULL);
    uint64_t top = UINT64_MAX - 2 * PAGE + 1;

    cr_assert_not_null (memory);
    cr_assert (vmm_guest_memory_contains (memory, top, PAGE));
    cr_assert_not (vmm_guest_memory_contains (memory, top, PAGE + 1));
    cr_assert_not (vmm_guest_memory_contains (memory, top, 2 * PAGE));
    cr_assert_not (vmm_guest_memory_contains (memory, top, 2 * PAGE + 1));
    cr_assert_not (vmm_guest_memory_contains (memory, top + PAGE, PAGE + 1));
}

Test (guest_memory, fill_sets_each_byte_and_no_other)
{
    g_autoptr (VmmGuestMemory) memory = make ();
    uint8_t buf[12];

    cr_assert (vmm_guest_memory_fill (memory, 4 * PAGE - 5, 0xaa, 10));
    cr_assert (vmm_guest_memory_read (memory, 4 * PAGE - 6, buf, 12));
    cr_assert_eq (buf[0], 0);
    for (unsigned i = 1; i < 11; i++)
        cr_assert_eq (buf[i], 0xaa);
    cr_assert_eq (buf[11], 0);
}

Test (guest_memory, ptr_is_inside_one_region)
{
    g_autoptr (VmmGuestMemory) memory = make ();
    uint8_t *p = vmm_guest_memory_ptr (memory, PAGE, 3 * PAGE);

    cr_assert_eq (p, vmm_guest_memory_region (memory, 0)->host + PAGE);
    cr_assert_null (vmm_guest_memory_ptr (memory, PAGE, 3 * PAGE + 1), "two regions have no one pointer");
    cr_assert_null (vmm_guest_memory_ptr (memory, PAGE, 0));
}

Test (guest_memory, map_splits_where_regions_end)
{
    g_autoptr (VmmGuestMemory) memory = make ();
    struct iovec iov[3] = {{NULL, 0}};

    cr_assert_eq (vmm_guest_memory_map (memory, 3 * PAGE, 2 * PAGE, iov, 3), 2u);
    cr_assert_eq (iov[0].iov_base, vmm_guest_memory_region (memory, 0)->host + 3 * PAGE);
    cr_assert_eq (iov[0].iov_len, PAGE);
    cr_assert_eq (iov[1].iov_base, vmm_guest_memory_region (memory, 1)->host);
    cr_assert_eq (iov[1].iov_len, PAGE);
    cr_assert_eq (vmm_guest_memory_map (memory, 3 * PAGE, 2 * PAGE, iov, 1), 0u, "no room for both");
    cr_assert_eq (vmm_guest_memory_map (memory, 3 * PAGE, PAGE, iov, 1), 1u);
    cr_assert_eq (vmm_guest_memory_map (memory, 3 * PAGE, PAGE, iov, 0), 0u);
}

Test (guest_memory, ordered_accesses_need_alignment_and_ram)
{
    static const uint64_t bad[] = {RAM_END, FAR - 8, FAR_END, UINT64_MAX - 7};
    g_autoptr (VmmGuestMemory) memory = make ();
    uint16_t v16 = 77;
    uint32_t v32 = 77;
    uint64_t v64 = 77;

    for (unsigned off = 1; off < 8; off++) {
        uint64_t gpa = 4 * PAGE - 8 + off;

        cr_assert_eq (vmm_guest_memory_store_u16_release (memory, gpa, 0), off % 2 == 0);
        cr_assert_eq (vmm_guest_memory_store_u32_release (memory, gpa, 0), off % 4 == 0);
        cr_assert_not (vmm_guest_memory_store_u64_release (memory, gpa, 0));
        if (off % 2 != 0)
            cr_assert_not (vmm_guest_memory_load_u16_acquire (memory, gpa, &v16));
        if (off % 4 != 0)
            cr_assert_not (vmm_guest_memory_load_u32_acquire (memory, gpa, &v32));
        cr_assert_not (vmm_guest_memory_load_u64_acquire (memory, gpa, &v64));
    }
    for (size_t i = 0; i < G_N_ELEMENTS (bad); i++) {
        cr_assert_not (vmm_guest_memory_load_u16_acquire (memory, bad[i], &v16));
        cr_assert_not (vmm_guest_memory_load_u32_acquire (memory, bad[i], &v32));
        cr_assert_not (vmm_guest_memory_load_u64_acquire (memory, bad[i], &v64));
        cr_assert_not (vmm_guest_memory_store_u16_release (memory, bad[i], 0));
        cr_assert_not (vmm_guest_memory_store_u32_release (memory, bad[i], 0));
        cr_assert_not (vmm_guest_memory_store_u64_release (memory, bad[i], 0));
    }
    cr_assert_eq (v16 + v32 + v64, 3u * 77, "outputs stay as they were");
}

Test (guest_memory, ordered_accesses_carry_values)
{
    g_autoptr (VmmGuestMemory) memory = make ();
    uint16_t v16;
    uint32_t v32;
    uint64_t v64;

    cr_assert (vmm_guest_memory_store_u64_release (memory, RAM_END - 8, 0x0123456789abcdefull));
    cr_assert (vmm_guest_memory_load_u64_acquire (memory, RAM_END - 8, &v64));
    cr_assert (vmm_guest_memory_load_u32_acquire (memory, RAM_END - 4, &v32));
    cr_assert (vmm_guest_memory_load_u16_acquire (memory, RAM_END - 2, &v16));
    cr_assert_eq (v64, 0x0123456789abcdefull);
    cr_assert_eq (v32, 0x01234567u);
    cr_assert_eq (v16, 0x0123u);
    cr_assert (vmm_guest_memory_store_u32_release (memory, RAM_END - 8, 0x11111111));
    cr_assert (vmm_guest_memory_store_u16_release (memory, RAM_END - 2, 0x2222));
    cr_assert (vmm_guest_memory_load_u64_acquire (memory, RAM_END - 8, &v64));
    cr_assert_eq (v64, 0x2222456711111111ull);
}

Test (guest_memory, shared_memfd_shows_writes_to_others)
{
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_MEMFD, .shared = true};
    g_autoptr (VmmGuestMemory) memory = vmm_guest_memory_new (three, 3, &backing, NULL);
    char buf[6] = "";
    int fd;

    cr_assert_not_null (memory);
    fd = vmm_guest_memory_fd (memory);
    cr_assert_geq (fd, 0);
    cr_assert (fcntl (fd, F_GETFD) & FD_CLOEXEC);
    cr_assert (vmm_guest_memory_write (memory, FAR + 7, "hello", 5));
    cr_assert_eq (pread (fd, buf, 5, (off_t)vmm_guest_memory_region (memory, 2)->fd_offset + 7), 5);
    cr_assert_str_eq (buf, "hello");
    cr_assert_eq (pwrite (fd, "world", 5, (off_t)vmm_guest_memory_region (memory, 1)->fd_offset), 5);
    cr_assert (vmm_guest_memory_read (memory, 4 * PAGE, buf, 5));
    cr_assert_str_eq (buf, "world");
}

Test (guest_memory, private_memfd_keeps_writes_to_itself)
{
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_MEMFD};
    g_autoptr (VmmGuestMemory) memory = vmm_guest_memory_new (three, 3, &backing, NULL);
    char byte = 1;

    cr_assert_not_null (memory);
    cr_assert (vmm_guest_memory_write (memory, 0, "hello", 5));
    cr_assert_eq (pread (vmm_guest_memory_fd (memory), &byte, 1, 0), 1);
    cr_assert_eq (byte, 0);
}

/* A TiB of huge pages is more than a host of today keeps free. */
Test (guest_memory, huge_pages_that_are_not_there_are_refused_with_the_way_out)
{
    VmmMemRange range = {0, 1024 * GIB};
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_HUGETLB, .page_size = 2u << 20, .shared = true};
    g_autoptr (GError) error = NULL;
    VmmGuestMemory *memory;

    if (access ("/sys/kernel/mm/hugepages/hugepages-2048kB", F_OK) != 0)
        cr_skip_test ("this kernel has no huge pages of 2 MiB");
    memory = vmm_guest_memory_new (&range, 1, &backing, &error);
    cr_assert_null (memory);
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_HOST));
    cr_assert_not_null (strstr (error->message, "huge pages"), "%s", error->message);
    cr_assert_not_null (strstr (error->message, "hugepages-2048kB/nr_hugepages"), "%s", error->message);
    cr_assert_null (strchr (error->message, '\n'));
}

Test (guest_memory, sizes_that_do_not_fit_huge_pages_are_refused)
{
    VmmMemRange ragged = {0, (2u << 20) + PAGE};
    VmmMemRange whole = {0, 2u << 20};
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_HUGETLB, .page_size = 2u << 20};
    static const uint64_t bad_pages[] = {0, 1, 1024, 3u << 20};
    g_autoptr (GError) error = NULL;

    cr_assert_null (vmm_guest_memory_new (&ragged, 1, &backing, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    for (size_t i = 0; i < G_N_ELEMENTS (bad_pages); i++) {
        backing.page_size = bad_pages[i];
        cr_assert_null (vmm_guest_memory_new (&whole, 1, &backing, NULL), "case %zu", i);
    }
}

Test (guest_memory, impossible_ranges_are_refused)
{
    static const VmmMemRange bad[][2] = {
        {{0, 0}, {0, 0}},
        {{1, PAGE}, {8 * PAGE, PAGE}},
        {{0, PAGE + 1}, {8 * PAGE, PAGE}},
        {{0, 2 * PAGE}, {PAGE, PAGE}},
        {{8 * PAGE, PAGE}, {0, PAGE}},
        {{0, PAGE}, {UINT64_MAX - PAGE + 1, 2 * PAGE}},
        {{0, PAGE}, {PAGE, UINT64_MAX - PAGE + 1}},
    };
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_ANON};

    for (size_t i = 0; i < G_N_ELEMENTS (bad); i++) {
        g_autoptr (GError) error = NULL;

        cr_assert_null (vmm_guest_memory_new (bad[i], 2, &backing, &error), "case %zu", i);
        cr_assert_not_null (error, "case %zu", i);
        cr_assert_eq (error->domain, VMM_ERROR);
    }
}

Test (guest_memory, more_than_the_address_space_is_refused)
{
    VmmMemRange range = {0, 1ull << 62};
    VmmMemBacking backing = {.kind = VMM_MEM_BACKING_ANON};
    g_autoptr (GError) error = NULL;

    cr_assert_null (vmm_guest_memory_new (&range, 1, &backing, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_HOST));
    cr_assert_not_null (strstr (error->message, "--mem"), "%s", error->message);
}

static size_t
resident_pages (const VmmMemRegion *region)
{
    size_t n = region->size / PAGE;
    size_t resident = 0;
    g_autofree unsigned char *vec = g_malloc (n);

    cr_assert_eq (mincore (region->host, region->size, vec), 0);
    for (size_t i = 0; i < n; i++)
        resident += vec[i] & 1;
    return resident;
}

Test (guest_memory, pages_are_taken_on_first_touch)
{
    g_autoptr (VmmGuestMemory) memory = make ();

    cr_assert_eq (resident_pages (vmm_guest_memory_region (memory, 0)), 0u);
    cr_assert (vmm_guest_memory_fill (memory, PAGE, 1, 1));
    cr_assert_eq (resident_pages (vmm_guest_memory_region (memory, 0)), 1u, "no huge page at the start");
}

Test (guest_memory, prefault_takes_every_page_at_once)
{
    static const VmmMemBackingKind kinds[] = {VMM_MEM_BACKING_ANON, VMM_MEM_BACKING_MEMFD};
    static const VmmMemRange ranges[] = {{0, 4u << 20}, {1ull << 32, 2u << 20}};

    for (unsigned i = 0; i < 4; i++) {
        VmmMemBacking backing = {.kind = kinds[i / 2], .shared = i % 2, .prefault = true};
        g_autoptr (VmmGuestMemory) memory = vmm_guest_memory_new (ranges, 2, &backing, NULL);
        uint64_t value = 1;

        cr_assert_not_null (memory, "case %u", i);
        cr_assert_eq (resident_pages (vmm_guest_memory_region (memory, 0)), 1024u, "case %u", i);
        cr_assert_eq (resident_pages (vmm_guest_memory_region (memory, 1)), 512u, "case %u", i);
        cr_assert (vmm_guest_memory_load_u64_acquire (memory, 1ull << 32, &value));
        cr_assert_eq (value, 0u, "case %u", i);
    }
}

Test (guest_memory, free_takes_null)
{
    vmm_guest_memory_free (NULL);
}

/* What is given back reads as zeros and is not the host's burden; its neighbours stay as they are. */
Test (guest_memory, discarded_memory_goes_back)
{
    static const VmmMemBackingKind kinds[] = {VMM_MEM_BACKING_ANON, VMM_MEM_BACKING_MEMFD};
    static const VmmMemRange ranges[] = {{0, 4u << 20}, {1ull << 32, 2u << 20}};

    for (unsigned i = 0; i < 4; i++) {
        VmmMemBacking backing = {.kind = kinds[i / 2], .shared = i % 2};
        g_autoptr (VmmGuestMemory) memory = vmm_guest_memory_new (ranges, 2, &backing, NULL);
        struct iovec run;
        uint8_t bytes[3];
        uint64_t given = 1;

        cr_assert_eq (vmm_guest_memory_page_size (memory), PAGE);
        cr_assert (vmm_guest_memory_fill (memory, 0, 0xaa, 4u << 20));
        cr_assert (vmm_guest_memory_fill (memory, 1ull << 32, 0xaa, 2u << 20));
        cr_assert (vmm_guest_memory_discard (memory, 5 * PAGE - 1, 100 * PAGE + 2, &given));
        cr_assert_eq (given, 100 * PAGE);
        cr_assert (vmm_guest_memory_discard (memory, (1ull << 32) + PAGE, PAGE, &given));
        cr_assert_eq (resident_pages (vmm_guest_memory_region (memory, 0)), 1024u - 100, "case %u", i);
        cr_assert_eq (vmm_guest_memory_map (memory, 1ull << 32, PAGE, &run, 1), 1);
        cr_assert (vmm_guest_memory_discard_mapped (memory, &run, &given));
        cr_assert_eq (given, PAGE);
        cr_assert (vmm_guest_memory_discard (memory, 1, PAGE, &given));
        cr_assert_eq (given, 0, "no whole page");
        cr_assert (vmm_guest_memory_read (memory, 5 * PAGE - 1, bytes, 2));
        cr_assert_eq (bytes[0], 0xaa);
        cr_assert_eq (bytes[1], 0);
        cr_assert (vmm_guest_memory_read (memory, (1ull << 32) + 2 * PAGE - 1, bytes, 2));
        cr_assert_eq (bytes[0], 0);
        cr_assert_eq (bytes[1], 0xaa);
    }
}

Test (guest_memory, discard_never_leaves_ram)
{
    g_autoptr (VmmGuestMemory) memory = make ();
    const VmmMemRegion *first = vmm_guest_memory_region (memory, 0);
    struct iovec elsewhere[] = {
        {first->host - PAGE, PAGE}, {first->host, 11 * PAGE}, {first->host, SIZE_MAX}};
    uint8_t byte = 0;
    uint64_t given = 1;

    cr_assert (vmm_guest_memory_fill (memory, 0, 0xaa, 8 * PAGE));
    cr_assert_not (vmm_guest_memory_discard (memory, 7 * PAGE, 2 * PAGE, &given));
    cr_assert_not (vmm_guest_memory_discard (memory, UINT64_MAX - PAGE + 1, 2 * PAGE, &given));
    cr_assert_not (vmm_guest_memory_discard (memory, 0, UINT64_MAX, &given));
    for (size_t i = 0; i < G_N_ELEMENTS (elsewhere); i++)
        cr_assert_not (vmm_guest_memory_discard_mapped (memory, &elsewhere[i], &given));
    cr_assert (vmm_guest_memory_read (memory, 7 * PAGE, &byte, 1));
    cr_assert_eq (byte, 0xaa);
}
