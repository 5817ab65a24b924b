"""`python -m pinguin_cli` is `pinguin`."""

from pinguin_cli.app import main

main()
