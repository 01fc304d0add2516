"""``python -m bids_qmri`` is the command ``bids_qmri``."""

import sys

from bids_qmri.cli.run import main

if __name__ == "__main__":
    sys.exit(main())
