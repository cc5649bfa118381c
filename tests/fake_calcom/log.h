/*
 * One line on stderr per notable event. Never one per booking or call: whoever started us may not
 * read the pipe, and a full pipe would stop the event loop. What happened call by call is answered
 * by GET /control/calls.
 */
#ifndef FAKE_CALCOM_LOG_H
#define FAKE_CALCOM_LOG_H

void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
