"""`python -m tailrace.cli`: the command `tailrace`."""

from tailrace.cli.entry import main

if __name__ == "__main__":
    main()
