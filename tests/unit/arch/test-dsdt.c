/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DSDT read back from its bytes, by a decoder of AML's encoding (ACPI 6.5 chapter 20, resources
 * section 6.4) that shares nothing with the encoder: what a guest learns about PCI and virtio.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/core/bytes.h"

#define DEVICES_MAX 400u
#define ROUTES_MAX 200u
#define EISA_ID_PCIE 0x080ad041u
#define EISA_ID_BOARD 0x020cd041u

typedef struct {
    uint64_t address, pin, source, gsi;
} Route;

typedef struct {
    char name[5];
    char hid[12]; /* where it is a string */
    uint64_t hid_number;
    uint64_t uid;
    const uint8_t *crs;
    size_t crs_len;
    unsigned n_routes;
    Route routes[ROUTES_MAX];
} Device;

typedef struct {
    const uint8_t *at, *end;
} Cursor;

typedef struct {
    unsigned n;
    Device devices[DEVICES_MAX];
    Device ignored; /* what lies outside devices */
} World;

/* One data object (section 20.2.3). */
typedef struct {
    enum { INTEGER, STRING, BYTES, PACKAGE } kind;
    uint64_t number;
    const char *string;
    Cursor inside;
    unsigned n;
} Object;

static uint8_t
u8 (Cursor *c)
{
    cr_assert_lt (c->at, c->end, "the AML ends too early");
    return *c->at++;
}

static uint64_t
number (Cursor *c, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)u8 (c) << (8 * i);
    return value;
}

/* Section 20.2.4: what the package that begins here holds; @c goes on behind it. */
static Cursor
package_inside (Cursor *c)
{
    const uint8_t *start = c->at;
    uint8_t first = u8 (c);
    unsigned more = first >> 6;
    uint64_t len = more == 0 ? first & 0x3f : (first & 0xf) | number (c, more) << 4;
    Cursor inside = {c->at, start + len};

    cr_assert_leq (inside.at, inside.end);
    cr_assert_leq (inside.end, c->end, "a package leaves the one around it");
    c->at = inside.end;
    return inside;
}

static void
name (Cursor *c, char ret_name[5])
{
    if (*c->at == '\\')
        c->at++;
    for (unsigned i = 0; i < 4; i++)
        ret_name[i] = (char)u8 (c);
    ret_name[4] = 0;
}

static Object
object (Cursor *c)
{
    Object o = {.kind = INTEGER};

    switch (u8 (c)) {
    case 0x00:
        break;
    case 0x01:
        o.number = 1;
        break;
    case 0x0a:
        o.number = number (c, 1);
        break;
    case 0x0b:
        o.number = number (c, 2);
        break;
    case 0x0c:
        o.number = number (c, 4);
        break;
    case 0x0e:
        o.number = number (c, 8);
        break;
    case 0x0d:
        o.kind = STRING;
        o.string = (const char *)c->at;
        while (u8 (c) != 0)
            continue;
        break;
    case 0x11:
        o.inside = package_inside (c);
        o.number = object (&o.inside).number;
        o.kind = BYTES;
        cr_assert_eq (o.number, o.inside.end - o.inside.at, "a buffer's size is that of its bytes");
        break;
    case 0x12:
        o.inside = package_inside (c);
        o.n = u8 (&o.inside);
        o.kind = PACKAGE;
        break;
    default:
        cr_assert (false, "object 0x%02x", c->at[-1]);
    }
    return o;
}

static void
take_routes (Device *device, Object o)
{
    cr_assert_eq (o.kind, PACKAGE);
    for (unsigned i = 0; i < o.n; i++) {
        Object route = object (&o.inside);
        Route *r = &device->routes[device->n_routes++];

        cr_assert_eq (route.kind, PACKAGE);
        cr_assert_eq (route.n, 4);
        r->address = object (&route.inside).number;
        r->pin = object (&route.inside).number;
        r->source = object (&route.inside).number;
        r->gsi = object (&route.inside).number;
        cr_assert_eq (route.inside.at, route.inside.end);
    }
    cr_assert_eq (o.inside.at, o.inside.end, "as many routes as it says");
}

static void
take_name (Device *device, const char *field, Object o)
{
    if (strcmp (field, "_HID") == 0) {
        device->hid_number = o.number;
        g_strlcpy (device->hid, o.kind == STRING ? o.string : "", sizeof device->hid);
    } else if (strcmp (field, "_UID") == 0) {
        device->uid = o.number;
    } else if (strcmp (field, "_CRS") == 0) {
        cr_assert_eq (o.kind, BYTES);
        device->crs = o.inside.at;
        device->crs_len = (size_t)(o.inside.end - o.inside.at);
    } else if (strcmp (field, "_PRT") == 0) {
        take_routes (device, o);
    }
}

/* Terms (section 20.2.5), of which methods and the like are passed over. */
static void
terms (World *world, Device *device, Cursor c)
{
    char field[5];

    while (c.at < c.end) {
        uint8_t op = u8 (&c);
        Cursor inside;

        if (op == 0x08) { /* Name */
            name (&c, field);
            take_name (device, field, object (&c));
        } else if (op == 0x10) { /* Scope */
            inside = package_inside (&c);
            name (&inside, field);
            terms (world, device, inside);
        } else if (op == 0x14) { /* Method */
            package_inside (&c);
        } else if (op == 0x5b && *c.at == 0x82) { /* Device */
            Device *inner = &world->devices[world->n++];

            c.at++;
            cr_assert_lt (world->n, DEVICES_MAX);
            inside = package_inside (&c);
            name (&inside, inner->name);
            terms (world, inner, inside);
        } else if (op == 0x5b && *c.at == 0x80) { /* OperationRegion */
            c.at++;
            name (&c, field);
            u8 (&c);
            object (&c);
            object (&c);
        } else {
            cr_assert (op == 0x5b && *c.at == 0x81, "term 0x%02x", op); /* Field */
            c.at++;
            package_inside (&c);
        }
    }
}

static World *
read_dsdt (unsigned n_pci, unsigned n_mmio)
{
    VmmCpuTopology topology = {1, 1, 1, 1};
    VmmX86AcpiConfig config = {.topology = &topology,
                               .pci = true,
                               .pci_mmio64 = {UINT64_C (1) << 40, UINT64_C (64) << 30},
                               .com1 = true,
                               .rtc = true,
                               .n_virtio_pci = n_pci,
                               .n_virtio_mmio = n_mmio};
    g_auto (VmmX86AcpiTables) tables = {NULL};
    World *world = g_new0 (World, 1);

    cr_assert (vmm_x86_acpi_build (&config, &tables, NULL));
    for (size_t i = 0; i < tables.n_tables; i++) {
        const uint8_t *start = tables.image->data + tables.tables[i].offset;

        if (strcmp (tables.tables[i].signature, "DSDT") == 0)
            terms (world, &world->ignored, (Cursor){start + 36, start + tables.tables[i].len});
    }
    /* What devices point to lives as long as the process of the test. */
    tables.image = NULL;
    return world;
}

static const Device *
find (const World *world, const char *name)
{
    for (unsigned i = 0; i < world->n; i++)
        if (strcmp (world->devices[i].name, name) == 0)
            return &world->devices[i];
    return NULL;
}

/* The @index-th resource with this tag (small ones without their length bits); NULL: there is none. */
static const uint8_t *
resource (const Device *device, uint8_t tag, unsigned index)
{
    size_t at = 0;

    while (at < device->crs_len && device->crs[at] >> 3 != 0x79 >> 3) {
        const uint8_t *r = device->crs + at;
        bool large = (r[0] & 0x80) != 0;

        if ((large ? r[0] : r[0] >> 3) == tag && index-- == 0)
            return r;
        at += large ? 3u + vmm_get_u16 (r + 1) : 1u + (r[0] & 7);
    }
    cr_assert_eq (at + 2, device->crs_len, "the end tag ends the resources of %s", device->name);
    return NULL;
}

Test (dsdt, the_root_has_its_buses_windows_and_ecam)
{
    g_autofree World *world = read_dsdt (0, 0);
    const Device *root = find (world, "PCI0"), *board = find (world, "MBRD");
    const uint8_t *r;

    cr_assert_not_null (root);
    cr_assert_eq (root->hid_number, EISA_ID_PCIE);
    cr_assert_eq (root->n_routes, 0, "no device, no route");
    r = resource (root, 0x88, 0);
    cr_assert_eq (r[3], 2, "bus numbers");
    cr_assert_eq (vmm_get_u16 (r + 8), 0);
    cr_assert_eq (vmm_get_u16 (r + 10), VMM_X86_ECAM_BUSES - 1);
    r = resource (root, 0x87, 0);
    cr_assert_eq (r[3], 0, "memory");
    cr_assert_eq (vmm_get_u32 (r + 10), VMM_X86_PCI_MMIO32_START);
    cr_assert_eq (vmm_get_u32 (r + 14), VMM_X86_PCI_MMIO32_START + VMM_X86_PCI_MMIO32_SIZE - 1);
    cr_assert_leq (vmm_get_u32 (r + 14) + UINT64_C (1), VMM_X86_ECAM_BASE, "not what the ECAM has");
    r = resource (root, 0x8a, 0);
    cr_assert_eq (vmm_get_u64 (r + 14), UINT64_C (1) << 40);
    cr_assert_eq (vmm_get_u64 (r + 22), (UINT64_C (1) << 40) + (UINT64_C (64) << 30) - 1);
    cr_assert_eq (vmm_get_u64 (r + 38), UINT64_C (64) << 30);
    /* Without this Linux does not believe the MCFG. */
    cr_assert_not_null (board);
    cr_assert_eq (board->hid_number, EISA_ID_BOARD);
    r = resource (board, 0x86, 0);
    cr_assert_eq (vmm_get_u32 (r + 4), VMM_X86_ECAM_BASE);
    cr_assert_eq (vmm_get_u32 (r + 8), VMM_X86_ECAM_SIZE);
}

/* Whether the routes tell where the pin of the @index-th function goes, and nothing else. */
static bool
has_route (const Device *root, unsigned index)
{
    unsigned slot = 1 + index % 31, pin = index / 31 % 4, found = 0;

    for (unsigned i = 0; i < root->n_routes; i++) {
        const Route *r = &root->routes[i];

        if (r->address == ((uint64_t)slot << 16 | 0xffff) && r->pin == pin)
            found += r->source == 0 && r->gsi == vmm_x86_pci_gsi (slot, pin + 1);
    }
    return found == 1;
}

Test (dsdt, each_pin_in_use_has_one_route)
{
    const unsigned counts[] = {1, 3, 31, 32, 64, 124, 125, 248};

    for (size_t i = 0; i < G_N_ELEMENTS (counts); i++) {
        g_autofree World *world = read_dsdt (counts[i], 0);
        const Device *root = find (world, "PCI0");

        cr_assert_eq (root->n_routes, MIN (counts[i], 124));
        for (unsigned f = 0; f < counts[i]; f++)
            cr_assert (has_route (root, f), "function %u of %u", f, counts[i]);
        for (unsigned r = 0; r < root->n_routes; r++)
            cr_assert (root->routes[r].gsi >= 16 && root->routes[r].gsi < VMM_X86_IOAPIC_PINS);
    }
}

Test (dsdt, neighbours_do_not_share_an_input)
{
    for (unsigned i = 0; i + 1 < 8; i++)
        cr_assert_neq (vmm_x86_pci_gsi (vmm_x86_virtio_pci_slot (i), vmm_x86_virtio_pci_pin (i)),
                       vmm_x86_pci_gsi (vmm_x86_virtio_pci_slot (i + 1), vmm_x86_virtio_pci_pin (i + 1)));
}

Test (dsdt, each_memory_mapped_device_is_described)
{
    const unsigned counts[] = {0, 1, 64, VMM_X86_VIRTIO_MMIO_MAX};

    for (size_t i = 0; i < G_N_ELEMENTS (counts); i++) {
        g_autofree World *world = read_dsdt (0, counts[i]);
        unsigned n = 0;

        for (unsigned d = 0; d < world->n; d++) {
            const Device *device = &world->devices[d];
            const uint8_t *memory, *interrupt;

            if (strcmp (device->hid, "LNRO0005") != 0)
                continue;
            cr_assert_eq (device->uid, n, "each has a number of its own");
            memory = resource (device, 0x86, 0);
            cr_assert_eq (vmm_get_u32 (memory + 4), vmm_x86_virtio_mmio_gpa (n));
            cr_assert_eq (vmm_get_u32 (memory + 8), VMM_X86_VIRTIO_MMIO_STEP);
            interrupt = resource (device, 0x89, 0);
            cr_assert_eq (interrupt[3] & 0x0f, 0x09, "a consumer's, level, high, shared");
            cr_assert_eq (interrupt[4], 1);
            cr_assert_eq (vmm_get_u32 (interrupt + 5), vmm_x86_virtio_mmio_gsi (n));
            n++;
        }
        cr_assert_eq (n, counts[i]);
    }
}

Test (dsdt, names_are_unique)
{
    g_autofree World *world = read_dsdt (248, VMM_X86_VIRTIO_MMIO_MAX);
    g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);

    for (unsigned i = 0; i < world->n; i++)
        cr_assert (g_hash_table_add (names, world->devices[i].name), "%s twice", world->devices[i].name);
}
