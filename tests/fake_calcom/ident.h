/* Identifiers as Cal.com makes them, from the random generator of libcrypto. */
#ifndef FAKE_CALCOM_IDENT_H
#define FAKE_CALCOM_IDENT_H

#define UID_SIZE  23 /* 22 characters of a short uuid (base 58) and the terminator */
#define UUID_SIZE 37 /* a version 4 uuid in its usual spelling and the terminator */

void ident_uid(char out[UID_SIZE]);
void ident_uuid(char out[UUID_SIZE]);

#endif
