"""BIDS-App that turns raw quantitative MRI into parameter maps with error bars and quality reports."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("bids_qmri")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
