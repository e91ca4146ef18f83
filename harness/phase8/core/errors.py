"""The one error a user is meant to see."""


class InvalidInput(Exception):  # noqa: N818  # it says what is wrong, as KeyboardInterrupt does
    """Input or machine that cannot be used: what, found, allowed, next step.

    The command line prints the message alone, without a traceback, and exits 2.
    """
