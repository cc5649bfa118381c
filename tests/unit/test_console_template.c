#include <event2/buffer.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/console/embedded.h"
#include "ingest/console/template.h"
#include "tests/unit/unit.h"

static const char *given;

static const char *
find(const char *name)
{
    return strcmp(name, "page") == 0    ? given
           : strcmp(name, "part") == 0  ? "<{{x}}>"
           : strcmp(name, "round") == 0 ? "{{>round}}"
                                        : NULL;
}

/* The template rendered over the JSON, or NULL; valid until the next call. */
static const char *
render(const char *template, const char *json)
{
    static char text[4096];
    struct json_object *context = json_tokener_parse(json);
    struct evbuffer *out = evbuffer_new();
    given = template;
    assert_non_null(context);
    bool done = template_render(find, "page", context, out);
    size_t size = evbuffer_get_length(out);
    assert_true(size < sizeof text);
    (void)evbuffer_remove(out, text, size);
    text[size] = '\0';
    evbuffer_free(out);
    (void)json_object_put(context);
    return done ? text : NULL;
}

static void
test_values_are_escaped(void **state)
{
    (void)state;
    assert_string_equal(render("a {{x}} {{ y.z }}{{nothing}} {{n}}.",
                               "{\"x\":\"<&>\\\"'\",\"y\":{\"z\":\"ä\"},\"n\":-5}"),
                        "a &lt;&amp;&gt;&quot;&#39; ä -5.");
    assert_string_equal(render("{{{x}}}{{&x}}", "{\"x\":\"<b>\"}"), "<b><b>");
    assert_string_equal(render("{{x}}", "{\"x\":\"{{y}}\",\"y\":1}"), "{{y}}");
}

static void
test_sections(void **state)
{
    (void)state;
    assert_string_equal(render("{{#l}}[{{n}}{{o}}]{{/l}}{{^l}}none{{/l}}",
                               "{\"l\":[{\"n\":1},{\"n\":2}],\"o\":\"!\"}"),
                        "[1!][2!]");
    assert_string_equal(render("{{#l}}x{{/l}}{{^l}}none{{/l}}", "{\"l\":[]}"), "none");
    assert_string_equal(render("{{#l}}({{.}}){{/l}}", "{\"l\":[\"a\",\"<\"]}"), "(a)(&lt;)");
    assert_string_equal(render("{{#a}}{{#b}}{{c}}{{/b}}{{/a}}", "{\"a\":{\"b\":{\"c\":7}}}"), "7");
    assert_string_equal(render("{{#a}}1{{#a}}2{{/a}}3{{/a}}", "{\"a\":true}"), "123");
}

static void
test_what_is_not_true(void **state)
{
    (void)state;
    const char *const FALSE[] = { "false", "0", "0.0", "\"\"", "[]", "null" };
    const char *const TRUE[] = { "true", "1", "0.5", "\"0\"", "[0]", "{}" };
    char json[64];
    for (size_t i = 0; i < 6; i++) {
        (void)snprintf(json, sizeof json, "{\"x\":%s}", FALSE[i]);
        assert_string_equal(render("{{#x}}yes{{/x}}{{^x}}no{{/x}}", json), "no");
        (void)snprintf(json, sizeof json, "{\"x\":%s}", TRUE[i]);
        assert_string_equal(render("{{#x}}yes{{/x}}{{^x}}no{{/x}}", json), "yes");
    }
    assert_string_equal(
        render("{{#x.y.z}}yes{{/x.y.z}}{{^x.y.z}}no{{/x.y.z}}", "{\"x\":{\"y\":1}}"), "no");
}

static void
test_parts_and_comments(void **state)
{
    (void)state;
    assert_string_equal(render("{{! said to nobody }}a{{>part}}b", "{\"x\":1}"), "a<1>b");
}

static void
test_what_is_not_well_formed(void **state)
{
    (void)state;
    const char *const BROKEN[] = { "{{",     "{{x",          "{{}}",       "{{#x}}", "{{#x}}{{/y}}",
                                   "{{/x}}", "{{>unknown}}", "{{>round}}", "{{{x}}" };
    for (size_t i = 0; i < sizeof BROKEN / sizeof BROKEN[0]; i++) {
        assert_null(render(BROKEN[i], "{\"x\":1}"));
    }
}

static void
check_renders(const char *name, const char *json)
{
    struct json_object *context = json_tokener_parse(json);
    struct evbuffer *out = evbuffer_new();
    assert_non_null(context);
    check(template_render(embedded_template, name, context, out), "%s", name);
    evbuffer_free(out);
    (void)json_object_put(context);
}

/* Each of ours, over nothing and over what makes all its sections show. */
static void
test_our_own_are_well_formed(void **state)
{
    (void)state;
    const char *const FULL =
        "{\"rows\":[{}],\"user\":\"u\",\"can_change\":true,\"can_act\":true,\"rows_any\":true,"
        "\"paused\":{},\"diff_any\":true,\"diff\":[{\"gap\":1},{\"old\":true},{\"new\":true}],"
        "\"is_dead\":true,\"exists\":true,\"is_draft\":true,\"check\":{},\"tried\":{\"error\":"
        "\"e\"},"
        "\"items_any\":true,\"items\":[{}],\"ledger\":[{}],\"totals\":{}}";
    size_t count = 0;
    for (const struct asset *asset = console_templates; asset->name != NULL; asset++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(asset->name, "."), asset->name);
        check_renders(name, "{}");
        check_renders(name, FULL);
        count++;
    }
    assert_true(count >= 11);
    assert_null(embedded_template("overvie"));
    assert_non_null(embedded_file("console.css"));
    assert_null(embedded_file("overview.html"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_escaped),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_what_is_not_true),
        cmocka_unit_test(test_parts_and_comments),
        cmocka_unit_test(test_what_is_not_well_formed),
        cmocka_unit_test(test_our_own_are_well_formed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
