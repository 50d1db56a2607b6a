"""Does an agent honour its contract? On the command line: ``propersim check``.

Each check yields findings as they are made; what it runs is real: residents, days, ratings. A finding says what was found,
why it matters and how to mend it.

Example:
    >>> from propersim_env.checks import check_assistant
    >>> [f.check for f in check_assistant(lambda observation: None) if f.level == "error"]
    ['act() returns a text']
"""

from propersim_env.checks.assistants import check_assistant
from propersim_env.checks.environments import check_environment
from propersim_env.checks.findings import Finding
from propersim_env.checks.users import check_user

__all__ = ["Finding", "check_assistant", "check_environment", "check_user"]
