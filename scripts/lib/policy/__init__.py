"""scripts/policy.

    cli       the commands and their options
    texts     policies as texts: from a file, checked, in force, ever installed
    sample    a booking as the policy sees it, out of a webhook's body or written by hand
    again     decides again what was decided, with what the decision rested on

Redis, errors and output are those of all scripts: see tollgate.link and tollgate.terminal.
"""
