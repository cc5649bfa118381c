"""scripts/policy.

    cli       the commands and their options
    texts     policies as texts: from a file, checked, in force, ever installed
    sample    a booking as the policy sees it, out of a webhook's body or written by hand
    again     decides again what was decided, with what the decision rested on
    link      Redis, errors and output
"""
