#include "ring.h"

#include <stdlib.h>

#include "alloc.h"

struct ring {
    void (*release)(void *record);
    void **slots; /* record `n` lives in slots[n % capacity] */
    size_t capacity;
    uint64_t first;
    uint64_t end;
};

struct ring *
ring_new(size_t capacity, void (*release)(void *record))
{
    struct ring *ring = xcalloc(1, sizeof(*ring));

    ring->release = release;
    ring->slots = xcalloc(capacity, sizeof(*ring->slots));
    ring->capacity = capacity;
    ring->first = ring->end = 1;
    return ring;
}

void
ring_free(struct ring *ring)
{
    if (ring == NULL)
        return;
    ring_clear(ring);
    free(ring->slots);
    free(ring);
}

static void
drop_oldest(struct ring *ring)
{
    void **slot = &ring->slots[ring->first % ring->capacity];

    ring->release(*slot);
    *slot = NULL;
    ring->first++;
}

uint64_t
ring_push(struct ring *ring, void *record)
{
    if (ring->end - ring->first == ring->capacity)
        drop_oldest(ring);
    ring->slots[ring->end % ring->capacity] = record;
    return ring->end++;
}

void *
ring_get(const struct ring *ring, uint64_t number)
{
    if (number < ring->first || number >= ring->end)
        return NULL;
    return ring->slots[number % ring->capacity];
}

uint64_t
ring_first(const struct ring *ring)
{
    return ring->first;
}

uint64_t
ring_end(const struct ring *ring)
{
    return ring->end;
}

void
ring_clear(struct ring *ring)
{
    while (ring->first < ring->end)
        drop_oldest(ring);
}
