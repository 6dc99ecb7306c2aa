"""The command line of ``./run vm``."""

import argparse
from pathlib import Path
from typing import Final

from deploy.vm.make import Boot, Make

KNOWN: Final = ("df", "sort", "sha512sum", "od", "nproc", "factor")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with status 2 and a message when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="./run vm",
        description="Boot a whole machine (OVMF, Debian's kernel, IMA, a software TPM with an EK certificate) under "
        "QEMU and attest it: enrolment, baseline, deltas, an unknown program, suspend, reboot, power cut.",
    )
    add = parser.add_argument
    add("--name", default="plain", help="name of the machine (default: %(default)s)")
    add("--ak", choices=("ecc", "rsa"), default="ecc", help="attesting key (default: %(default)s)")
    add("--banks", nargs="+", default=["sha256"], metavar="BANK", help="active PCR banks (default: sha256)")
    add("--quoted", nargs="+", metavar="BANK", help="quoted PCR banks (default: all active ones)")
    add(
        "--boot",
        type=Boot,
        choices=tuple(Boot),
        help="loader of the kernel: kernel, QEMU hands it to the firmware (default); "
        "grub, shim and grub from the disk; disk, the boot loader of --image's disk (default if it has no vmlinuz)",
    )
    add("--secure-boot", action="store_true", help="OVMF with enrolled keys")
    add("--ima-template", default="ima-ng", metavar="NAME", help="one of the kernel's (default: %(default)s)")
    add("--ima-policy", type=Path, metavar="FILE", help="instead of the image's policy")
    add("--append", default="", metavar="TEXT", help="more for the kernel's command line")
    add("--suite", default="bookworm", metavar="NAME", help="of Debian, for the image (default: %(default)s)")
    add("--kernel", default="linux-image-amd64", metavar="PACKAGE", help="of the image (default: %(default)s)")
    add("--packages", nargs="+", default=[], metavar="PACKAGE", help="more for the image")
    add("--agent", type=Path, metavar="FILE", help="the agent's package, made elsewhere: its Python is the suite's")
    add("--image", type=Path, metavar="DIR", help="your own image; docs/devices.md describes it")
    add(
        "--programs", nargs="+", default=[*KNOWN], metavar="NAME", help="known programs to run, each for the first time"
    )
    add(
        "--by-page", action="store_true", help="install and configure the agent with the commands of docs/operations.md"
    )
    add("--until-affirming", action="store_true", help="stop after the first affirming result")
    add("--record", type=Path, metavar="DIR", help="write the messages as a fixture (tests/vectors/vm)")
    add("--keep", type=Path, metavar="DIR", help="keep keys, logs, configurations and databases in DIR")
    return parser.parse_args(arguments)


def make_of(options: argparse.Namespace) -> Make:
    """The machine that the options describe."""
    return Make(
        name=options.name,
        ak=options.ak,
        banks=tuple(options.banks),
        quoted=tuple(options.quoted or options.banks),
        boot=boot_of(options),
        secure_boot=options.secure_boot,
        ima_template=options.ima_template,
        append=options.append,
        ima_policy=options.ima_policy,
    )


def boot_of(options: argparse.Namespace) -> Boot:
    """The loader of the kernel; by default it depends on the image."""
    if options.boot is not None:
        return Boot(options.boot)
    foreign = options.image is not None and not (options.image / "vmlinuz").exists()
    return Boot.DISK if foreign else Boot.KERNEL
