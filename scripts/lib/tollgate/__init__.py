"""What the operator's scripts share. They read what they like, and change things only through the
functions of the Redis library.

    link      Redis, the options that all scripts have, and how a script ends
    terminal  tables, JSON, questions, progress
    credit    scripts/credit; with
      enrol     import: members out of a file
      members   that file: how it is written and read
      verify    replays ledgers against accounts and bookings
    story     scripts/explain
    doctor    scripts/doctor; it asks
      doctor_redis  Redis itself
      doctor_books  what the gate keeps there
      doctor_web    Cal.com, and the webhook's address
"""
