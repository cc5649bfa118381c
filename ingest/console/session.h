/*
 * Who somebody is. A session is a name in Redis under the SHA-256 of a random cookie, so any ingest
 * of the gate knows it and a copy of Redis lets nobody in:
 *
 *   STRING {ns}:console:session:<sha256>  the name; it ends SESSION_S after the sign-in
 *   STRING {ns}:console:flash:<sha256>    what the next page says once
 *   STRING {ns}:console:tries:<sha256>    sign-ins that were tried within a minute, by address and
 * by name STRING {ns}:console:token             SHA-256 of the token that was made at the first
 * start, where none is given
 */
#ifndef TOLLGATE_SESSION_H
#define TOLLGATE_SESSION_H

#include "ingest/console/visit.h"

/* Makes the token, where there is none and none is given, and says it in the log, once for ever. At
 * each connection. */
void session_make_token(struct console *console);

/* Goes on with visit->user and what the page says once; user "": nobody is signed in. */
void session_load(struct visit *visit, visit_cb *then);

/* Shows the form; `to`: the page to go on with. Ends the visit. */
void session_show_form(struct visit *visit, int status, const char *to);

/* Takes the form: name, secret, to. Ends the visit. */
void session_sign_in(struct visit *visit);
void session_sign_out(struct visit *visit);

#endif
