"""python -m logpx.cli (floor 8)."""

from logpx.cli.main import main

main()
