"""``python -m flashtrace_agent`` is the command ``flashtrace-agent``."""

from .cli import main

if __name__ == "__main__":
    main()
