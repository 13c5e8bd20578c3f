"""The pipeline with `--until_end`, timed inside its process: without the imports."""

import time

from options.load import load
from pipeline.run import run
from runners.logs import configure_logs


def main() -> None:
    """Print the seconds of the whole run: checks, build, read, write, last commit."""
    loaded = load(["--until_end"])
    configure_logs(loaded.settings)
    started = time.monotonic()
    run(loaded)
    print(time.monotonic() - started)


if __name__ == "__main__":
    main()
