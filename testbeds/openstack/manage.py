"""Run several commands of nova-manage or its like, one after the other; called by `up`, with the Python of the packages.

manage.py MODULE --config-file FILE COMMAND...      each command is one argument: "api_db sync"

The modules of a service take seconds to be read. They are read once, and each command is carried out by a fork.
"""

import os
import sys
from importlib import import_module

name, option, file, *commands = sys.argv[1:]
module = import_module(name)
for command in commands:
    pid = os.fork()
    if pid == 0:
        sys.argv = [name, option, file, *command.split()]
        sys.exit(module.main())
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        sys.exit(f"{command}: exit code {code}")
