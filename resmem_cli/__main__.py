"""`python -m resmem_cli` is `resmem`."""

import sys

from resmem_cli.cli.main import main

sys.exit(main())
