"""The command line of ``./run vm``."""

import argparse
from pathlib import Path

from deploy.vm.machine import Make


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with status 2 and a message when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="./run vm",
        description="Boot a whole machine (OVMF, Debian's kernel, IMA, a software TPM with an EK certificate) under "
        "QEMU and attest it: enrolment, baseline, deltas, an unknown program, suspend, reboot, power cut.",
    )
    add = parser.add_argument
    add("--name", default="plain", help="what to call the machine (default: %(default)s)")
    add("--ak", choices=("ecc", "rsa"), default="ecc", help="attesting key (default: %(default)s)")
    add("--banks", nargs="+", default=["sha256"], metavar="BANK", help="active PCR banks (default: sha256)")
    add("--quoted", nargs="+", metavar="BANK", help="quoted PCR banks (default: all active ones)")
    add("--secure-boot", action="store_true", help="OVMF with enrolled keys")
    add("--ima-template", default="ima-ng", metavar="NAME", help="of the kernel's (default: %(default)s)")
    add("--ima-policy", type=Path, metavar="FILE", help="in place of the image's policy")
    add("--append", default="", metavar="TEXT", help="more for the kernel's command line")
    add("--image", type=Path, metavar="DIR", help="folder of an image that deploy/vm/build-image made")
    add("--until-affirming", action="store_true", help="stop after the first affirming result")
    add("--record", type=Path, metavar="DIR", help="write what was heard as a fixture (tests/vectors/vm)")
    add("--keep", type=Path, metavar="DIR", help="keep keys, logs, configurations and databases in DIR")
    return parser.parse_args(arguments)


def make_of(options: argparse.Namespace) -> Make:
    """What kind of machine the options ask for."""
    return Make(
        name=options.name,
        ak=options.ak,
        banks=tuple(options.banks),
        quoted=tuple(options.quoted or options.banks),
        secure_boot=options.secure_boot,
        ima_template=options.ima_template,
        append=options.append,
        ima_policy=options.ima_policy,
    )
