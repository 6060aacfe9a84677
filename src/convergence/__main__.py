"""`python -m convergence` is the command line."""

from convergence.cli import main

if __name__ == "__main__":
    main()
