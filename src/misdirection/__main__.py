"""`python -m misdirection`, where the command itself is not on the path."""

from misdirection.cli.main import main

if __name__ == "__main__":
    main()
