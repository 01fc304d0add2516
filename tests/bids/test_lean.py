"""What is not imported with nibabel, and can still be imported by who needs it."""

import subprocess
import sys


def test_images_are_read_without_pydicom_which_others_may_still_import():
    code = (
        "import sys; from bids_qmri.bids.nifti import read_header; print('pydicom' in sys.modules);"
        "from importlib.util import find_spec; found = find_spec('pydicom');"
        "found and __import__('pydicom'); print(sys.modules.get('pydicom', 0) is None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
