"""`python -m d2lrnn` is the same as `d2lrnn`."""

import sys

from d2lrnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
