"""``python -m propersim_env.cli`` is the command ``propersim``."""

from propersim_env.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
