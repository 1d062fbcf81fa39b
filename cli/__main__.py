"""`python -m cli`: the command line where `carbon-migrate` is not on the path."""

from cli.main import main

main()
