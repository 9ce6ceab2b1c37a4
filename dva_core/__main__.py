"""`python -m dva_core` is `dva`, where no command was installed."""

import sys

from .cli import main

sys.exit(main())
