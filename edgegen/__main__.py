"""`python -m edgegen` is the `edgegen` command."""

from edgegen.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
