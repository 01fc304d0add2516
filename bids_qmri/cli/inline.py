"""The command ``bids_qmri-inline``: arguments in, a server that runs until it is told to stop."""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from bids_qmri.catalogue import INLINE_DEFAULT
from bids_qmri.cli.argument_types import PrintVersion
from bids_qmri.cli.dicom import check_dicom
from bids_qmri.cli.environment import environment
from bids_qmri.cli.exit import ExitCode, finish
from bids_qmri.cli.interrupt import end_on_signals
from bids_qmri.cli.logs import LOGGER, console_log
from bids_qmri.cli.spelling import Parser
from bids_qmri.errors import InputError, UsageError

PORT = 9002
MEGABYTE = 2**20


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="bids_qmri-inline",
        description="Receive a series of MRD images from a scanner's host, send its parameter maps back.",
    )
    parser.add_argument("--version", action=PrintVersion)
    parser.add_argument(
        "--address",
        default="127.0.0.1",
        help="where to listen. Anything but the loopback lets everybody on that network send images and use "
        "this computer: nothing is encrypted, nobody is asked for a password (default %(default)s)",
    )
    parser.add_argument("--port", type=int, default=PORT, help="default %(default)s")
    parser.add_argument(
        "--config",
        default=INLINE_DEFAULT,
        metavar="NAME",
        help="configuration of hosts that name none: MODEL-ESTIMATOR, or a name of --configs (%(default)s)",
    )
    parser.add_argument("--configs", type=Path, metavar="DIR", help="configurations of your own, NAME.json")
    parser.add_argument("--networks", type=Path, metavar="DIR", help="networks of your own, NAME.onnx")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="slices at a time (default: all processors)"
    )
    dicom = parser.add_argument_group("DICOM (needs the package's extra dicom)")
    dicom.add_argument(
        "--dicom", type=Path, metavar="DIR", help="write the maps as DICOM series into this folder as well"
    )
    dicom.add_argument(
        "--dicom-template",
        type=Path,
        metavar="FILE",
        help="DICOM file of the patient and study, read anew for every series; default: nobody's",
    )
    dicom.add_argument(
        "--dicom-parametric-maps",
        action="store_true",
        help="write each map as a floating-point Parametric Map, too (needs the extra parametric-map)",
    )
    limits = parser.add_argument_group("limits per client")
    limits.add_argument("--max-message", type=int, default=256, metavar="MB", help="default %(default)s")
    limits.add_argument("--max-memory", type=int, default=4096, metavar="MB", help="default %(default)s")
    limits.add_argument(
        "--idle", type=float, default=300.0, metavar="S", help="longest silence in s (default %(default)s)"
    )
    parser.add_argument("-v", "--verbose", action="count", default=0, help="say more")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code.

    Parameters
    ----------
    argv
        Arguments without the program name; None takes those of the process.
    """
    try:
        args = make_parser().parse_args(argv)
    except UsageError as error:
        with console_log():
            LOGGER.error(error)
        return finish(ExitCode.USAGE)
    with console_log(args.verbose), end_on_signals(lambda _: finish(ExitCode.OK)):
        os.environ.update(environment(os.environ, 1, Path(tempfile.gettempdir()) / "bids_qmri"))
        return finish(_serve(args))


def _serve(args: argparse.Namespace) -> int:
    # Heavy imports wait until the environment is set.
    from bids_qmri.inline.config import Shelf
    from bids_qmri.inline.estimation import warm_up
    from bids_qmri.inline.server import Settings, listen, serve
    from bids_qmri.inline.session import Sink
    from bids_qmri.inline.wire import Limits

    sinks: tuple[Sink, ...] = ()
    try:
        check_dicom(args.dicom, args.dicom_template, "--dicom-template", args.dicom_parametric_maps)
        if args.dicom is not None:
            from bids_qmri.inline.dicom_series import dicom_sink

            sinks = (dicom_sink(args.dicom, args.dicom_template, parametric_maps=args.dicom_parametric_maps),)
        shelf = Shelf(args.configs, args.networks, args.config)
        warm_up(shelf.config("", {}))
        listener = listen(args.address, args.port)
    except (InputError, UsageError, OSError) as error:
        LOGGER.error("%s", error)
        return ExitCode.USAGE
    limits = Limits(args.max_message * MEGABYTE, args.max_memory * MEGABYTE, args.idle)
    with listener:
        if not _is_loopback(listener.getsockname()[0]):
            LOGGER.warning(
                "everybody who reaches %s can send images and use this computer: nothing is encrypted, "
                "nobody is asked for a password",
                args.address,
            )
        from bids_qmri import __version__

        LOGGER.info("bids_qmri %s listens on %s, port %d", __version__, *listener.getsockname()[:2])
        serve(listener, Settings(shelf, limits, args.threads, sinks), Event())
    return ExitCode.OK


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


if __name__ == "__main__":
    sys.exit(main())
