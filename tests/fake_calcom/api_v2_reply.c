#include "api_v2_reply.h"

#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "http_util.h"
#include "json_util.h"

void
v2_fail(struct call *call, int status, const char *code, const char *message)
{
    json_object *body = object_new(), *error = object_new();

    put_text(error, "code", code);
    put_text(error, "message", message);
    put_text(body, "status", "error");
    put_time(body, "timestamp", clock_wall_ms(), ISO_MILLIS_Z);
    put_text(body, "path", call->path);
    put(body, "error", error);
    call_answer(call, status, body);
}

json_object *
v2_success(json_object *data)
{
    json_object *body = object_new();

    put_text(body, "status", "success");
    put(body, "data", data);
    return body;
}

bool
v2_booking_exists(struct call *call)
{
    char *message;

    if (call->booking != NULL)
        return true;
    message = xasprintf("Booking with uid=%s was not found in the database", call->key);
    v2_fail(call, 404, "NotFoundException", message);
    free(message);
    return false;
}

bool
v2_read_body(struct call *call, json_object **body)
{
    if (http_read_json(call->request, body) &&
        (*body == NULL || json_object_is_type(*body, json_type_object)))
        return true;
    json_object_put(*body);
    v2_fail(call, 400, "BadRequestException", "Bad request: the body is not a JSON object");
    return false;
}
