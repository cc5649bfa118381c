"""What the operator's scripts share. They read what they like, and change things only through the
functions of the Redis library.

    link      Redis, the options that all scripts have, and how a script ends
    terminal  tables, JSON, questions, progress
    period    from … to … as people type it
    commands  scripts/tollgate, which joins the others; with
      status      how everything stands and what is stuck; of
        gates       the calls to Cal.com, and the webhook's secrets
        spans       whose the time of bookings was
      watch       the same, live
      decisions   the newest decisions
    credit    scripts/credit; with
      enrol     import and grant-each: members out of a file
      members   that file: how it is written and read
      verify    replays ledgers against accounts and bookings
    queue     scripts/queue; with
      places    where bookings' names are
      picture   that as people read it, and the screen that watches
    story     scripts/explain
    doctor    scripts/doctor; it asks
      doctor_redis   Redis itself
      doctor_books   what the gate keeps there
      doctor_web     Cal.com, and the webhook's address
      doctor_calcom  Cal.com's settings
      doctor_ping    ingest, while somebody presses a button
"""
