/* A step of a booking's life on its way: what the files lifecycle*.c share. It ends in op_finish.
 */
#ifndef FAKE_CALCOM_OP_H
#define FAKE_CALCOM_OP_H

#include "lifecycle.h"

struct op {
    const struct lifecycle *lifecycle;
    struct booking *booking; /* whom the webhook names */
    struct seat *seat;       /* NULL: the whole booking */
    bool series;
    char *reason;
    char *by;
    struct webhook_plan plan;
    int between_ms;
    json_object *deliveries;
    void (*next)(struct op *op); /* what comes after the webhook that is out */
    lifecycle_done *done;
    void *arg;
};

struct op *op_new(const struct lifecycle *lifecycle, const struct step *step);

/* Tells whoever ordered the step; `op` is gone. */
void op_finish(struct op *op, enum verdict verdict);
void op_done(struct op *op); /* with VERDICT_DONE */

/* Sends the webhook; when it is answered, `next`. */
void op_tell(struct op *op, enum trigger trigger, void (*next)(struct op *op));

/* Lets the step's wait pass, then `write`, which gets `op`. */
void op_wait(struct op *op, void (*write)(void *op));

/* Mail, calendar and row of a booking that is accepted without being asked. */
void booking_accept(struct booking *booking);

void booking_refund(struct booking *booking);

#endif
