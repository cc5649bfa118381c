#include "faults.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "alloc.h"
#include "json_util.h"
#include "log.h"

struct rule {
    TAILQ_ENTRY(rule) entry;
    bool any_action;
    bool any_act;
    enum action action; /* unless one of the above */
    int64_t booking;    /* 0: any */
    int64_t times;      /* -1: for ever */
    struct fault fault;
};

TAILQ_HEAD(rule_list, rule);

struct faults {
    struct rule_list rules;
};

static const struct {
    const char *name;
    enum fault_kind kind;
    bool after;
} kinds[] = {
    { "status", FAULT_STATUS, false },      { "hang", FAULT_HANG, false },
    { "reset_before", FAULT_RESET, false }, { "reset_after", FAULT_RESET, true },
    { "latency", FAULT_LATENCY, false },    { "throttle", FAULT_THROTTLE, false },
};

void
fault_release(struct fault *fault)
{
    json_object_put(fault->body);
    json_object_put(fault->headers);
    fault->body = fault->headers = NULL;
}

struct faults *
faults_new(void)
{
    struct faults *faults = xcalloc(1, sizeof(*faults));

    TAILQ_INIT(&faults->rules);
    return faults;
}

static void
rule_free(struct rule *rule)
{
    fault_release(&rule->fault);
    free(rule);
}

static void
rule_remove(struct faults *faults, struct rule *rule)
{
    TAILQ_REMOVE(&faults->rules, rule, entry);
    rule_free(rule);
}

void
faults_clear(struct faults *faults)
{
    while (!TAILQ_EMPTY(&faults->rules)) {
        struct rule *rule = TAILQ_FIRST(&faults->rules);

        rule_remove(faults, rule);
        assert(TAILQ_FIRST(&faults->rules) != rule); /* what clang's analyzer does not see */
    }
}

void
faults_free(struct faults *faults)
{
    if (faults == NULL)
        return;
    faults_clear(faults);
    free(faults);
}

static const char *
read_kind(struct fault *fault, json_object *request)
{
    const char *name = json_text(request, "kind");

    for (size_t i = 0; name != NULL && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(name, kinds[i].name) == 0) {
            fault->kind = kinds[i].kind;
            fault->name = kinds[i].name;
            fault->after = kinds[i].after;
            return NULL;
        }
    }
    return "kind must be one of status, hang, reset_before, reset_after, latency, throttle";
}

static const char *
read_match(struct rule *rule, json_object *request)
{
    const char *action = json_text(request, "action");

    rule->any_action = action == NULL || strcmp(action, "any") == 0;
    rule->any_act = !rule->any_action && strcmp(action, "act") == 0;
    rule->booking = json_int(request, "booking", 0);
    rule->times = json_int(request, "times", 1);
    if (rule->times == 0 || rule->times < -1)
        return "times must be positive, or -1";
    if (!rule->any_action && !rule->any_act && !action_parse(action, &rule->action))
        return "action must be any, act, get, list, patch, confirm, decline, cancel, me or other";
    return NULL;
}

static const char *
read_rule(struct rule *rule, json_object *request)
{
    struct fault *fault = &rule->fault;
    json_object *body = NULL;
    const char *problem = read_match(rule, request);

    if (problem == NULL)
        problem = read_kind(fault, request);
    if (problem != NULL)
        return problem;

    fault->after |= json_flag(request, "after", false);
    fault->between = json_flag(request, "between", false);
    fault->status = (int)json_int(request, "status", 500);
    fault->ms = (int)json_int(request, "ms", 200);
    fault->reset_s = (int)json_int(request, "reset", 60);
    fault->retry_after_s = (int)json_int(request, "retryAfter", -1);
    if (json_object_object_get_ex(request, "body", &body))
        fault->body = json_object_get(body);
    fault->headers = json_object_get(json_member(request, "headers", json_type_object));
    if (fault->status < 200 || fault->status > 599)
        return "status must be 200 to 599";
    if (fault->after && (fault->kind == FAULT_LATENCY || fault->kind == FAULT_THROTTLE))
        return "after goes with status, hang and reset";
    return NULL;
}

const char *
faults_add(struct faults *faults, json_object *request)
{
    struct rule *rule = xcalloc(1, sizeof(*rule));
    const char *problem = read_rule(rule, request);

    if (problem != NULL) {
        rule_free(rule);
        return problem;
    }
    TAILQ_INSERT_TAIL(&faults->rules, rule, entry);
    log_line("fault ordered: %s", json_bytes(request, NULL));
    return NULL;
}

static bool
rule_matches(const struct rule *rule, enum action action, int64_t booking)
{
    if (rule->booking != 0 && rule->booking != booking)
        return false;
    if (rule->any_act)
        return action_is_act(action);
    return rule->any_action || rule->action == action;
}

struct fault
faults_take(struct faults *faults, enum action action, int64_t booking)
{
    struct fault fault = { .kind = FAULT_NONE };
    struct rule *rule;

    TAILQ_FOREACH(rule, &faults->rules, entry) {
        if (rule_matches(rule, action, booking))
            break;
    }
    if (rule == NULL)
        return fault;

    fault = rule->fault;
    json_object_get(fault.body);
    json_object_get(fault.headers);
    if (rule->times > 0 && --rule->times == 0)
        rule_remove(faults, rule);
    return fault;
}

json_object *
faults_list(const struct faults *faults)
{
    json_object *list = array_new();
    const struct rule *rule;

    TAILQ_FOREACH(rule, &faults->rules, entry) {
        json_object *entry = object_new();
        const char *action = rule->any_action ? "any" : "act";

        if (!rule->any_action && !rule->any_act)
            action = action_name(rule->action);
        put_text(entry, "action", action);
        put_int(entry, "booking", rule->booking);
        put_int(entry, "times", rule->times);
        put_text(entry, "kind", rule->fault.name);
        push(list, entry);
    }
    return list;
}
