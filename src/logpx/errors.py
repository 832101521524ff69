"""The one exception that users cause (floor 0): its message is one sentence, what is wrong and what to do."""


class UserError(ValueError):
    """Bad input, said in one sentence; the command line prints it alone and exits with 2."""
