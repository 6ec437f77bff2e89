"""`python -m d2lrnn` is the same as `d2lrnn`."""

import signal
import sys


def main() -> int:
    """Run the command line; Ctrl-C is quiet also while it is being loaded, and while the process ends."""
    try:
        from d2lrnn.cli import main

        return main()
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
