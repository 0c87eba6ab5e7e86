"""`python -m ich_tf` and the console script `ich-tf`."""

import sys

from ich_tf.cli import main

if __name__ == "__main__":
    sys.exit(main())
