"""``python -m cmrseg``."""

from cmrseg.cli import main

main()
