"""``python -m propersim_env`` is the command ``propersim``."""

from propersim_env.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
