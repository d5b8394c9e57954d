"""`python -m textcls`: the command line."""

from textcls.cli import main

if __name__ == "__main__":
    main()
