"""The command ``bids_qmri-inline``: arguments in, a server that runs until it is told to stop."""

from __future__ import annotations

import argparse
import ipaddress
import os
import socket
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
from bids_qmri.options import number

PORT = 9002
MOST_THREADS = 1024
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
    port = number(int, lambda n: 0 <= n < 2**16, "a port from 0 (any that is free) to 65535")
    parser.add_argument("--port", type=port, default=PORT, help="default %(default)s")
    parser.add_argument(
        "--config",
        default=INLINE_DEFAULT,
        metavar="NAME",
        help="configuration of hosts that name none: MODEL-ESTIMATOR, or a name of --configs (%(default)s)",
    )
    parser.add_argument("--configs", type=Path, metavar="DIR", help="configurations of your own, NAME.json")
    parser.add_argument("--networks", type=Path, metavar="DIR", help="networks of your own, NAME.onnx")
    parser.add_argument(
        "--threads",
        type=number(int, lambda n: 0 < n <= MOST_THREADS, f"a whole number from 1 to {MOST_THREADS}"),
        default=os.cpu_count() or 1,
        help="slices of a client at a time (default: all processors)",
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
    _add_limits(parser)
    parser.add_argument("-v", "--verbose", action="count", default=0, help="say more")
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    megabytes = number(int, lambda n: 0 < n <= 2**20, "whole megabytes, 1 to 1048576")
    seconds = number(float, lambda s: 0 < s <= 1e6, "seconds above 0, at most 1e6")
    limits = parser.add_argument_group("limits per client")
    limits.add_argument(
        "--max-message", type=megabytes, default=256, metavar="MB", help="default %(default)s"
    )
    limits.add_argument(
        "--max-memory", type=megabytes, default=4096, metavar="MB", help="default %(default)s"
    )
    limits.add_argument(
        "--idle", type=seconds, default=300.0, metavar="S", help="longest silence in s (default %(default)s)"
    )
    limits.add_argument(
        "--deadline",
        type=seconds,
        default=7200.0,
        metavar="S",
        help="longest time from the first image of a series to its last in s (default %(default)s)",
    )
    together = parser.add_argument_group("limits of all clients together")
    together.add_argument(
        "--max-clients",
        type=number(int, lambda n: 0 < n <= MOST_THREADS, f"a whole number from 1 to {MOST_THREADS}"),
        default=64,
        metavar="N",
        help="served at a time; one more sends away who was silent for longest (default %(default)s)",
    )
    together.add_argument(
        "--max-memory-together", type=megabytes, default=16384, metavar="MB", help="default %(default)s"
    )


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
        os.environ.update(environment(os.environ, Path(tempfile.gettempdir()) / "bids_qmri"))
        return finish(_serve(args))


def _serve(args: argparse.Namespace) -> int:
    # Heavy imports wait until the environment is set.
    from bids_qmri.inline.config import Shelf
    from bids_qmri.inline.estimation import warm_up
    from bids_qmri.inline.server import Settings, serve
    from bids_qmri.inline.session import Sink
    from bids_qmri.inline.wire import Limits

    sinks: tuple[Sink, ...] = ()
    try:
        for option, folder in (("--configs", args.configs), ("--networks", args.networks)):
            if folder is not None and not folder.is_dir():
                raise UsageError(
                    "is not a folder", file=folder, field=option, needed="a folder that is there"
                )
        check_dicom(args.dicom, args.dicom_template, "--dicom-template", args.dicom_parametric_maps)
        if args.dicom is not None:
            from bids_qmri.inline.dicom_series import dicom_sink

            sinks = (dicom_sink(args.dicom, args.dicom_template, parametric_maps=args.dicom_parametric_maps),)
        shelf = Shelf(args.configs, args.networks, args.config)
        warm_up(shelf.config("", {}))
        listener = _listening(args.address, args.port)
    except (InputError, UsageError, OSError) as error:
        LOGGER.error("%s", error)
        return ExitCode.USAGE
    limits = Limits(
        args.max_message * MEGABYTE,
        args.max_memory * MEGABYTE,
        args.idle,
        args.deadline,
        args.max_clients,
        args.max_memory_together * MEGABYTE,
    )
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


def _listening(address: str, port: int) -> socket.socket:
    """Return a socket that listens, or say why there can be none."""
    from bids_qmri.inline.server import listen

    try:
        return listen(address, port)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {address}, port {port} ({error.strerror or error})",
            field="--address, --port",
            needed="an address of this computer and a port that nobody uses",
            fix="choose another --port; below 1024 the system asks for special rights",
        ) from error


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


if __name__ == "__main__":
    sys.exit(main())
