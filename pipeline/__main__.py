"""`python -m pipeline`."""

import logging
import sys


def _main() -> int:
    logging.disable(logging.WARNING)  # importing Beam warns of Google's libraries
    from pipeline.cli import main  # noqa: PLC0415

    logging.disable(logging.NOTSET)
    return main(sys.argv[1:])


if __name__ == "__main__":
    try:
        sys.exit(_main())
    except KeyboardInterrupt:  # while importing
        sys.exit(130)
