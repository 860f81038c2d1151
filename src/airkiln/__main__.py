"""`python -m airkiln`."""

import sys

from airkiln.cli import main

sys.exit(main())
