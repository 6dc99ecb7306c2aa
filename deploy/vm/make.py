"""Kinds of machine, and QEMU's command line for each."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from deploy.demo.problem import DemoError
from deploy.vm.boot_disk import ROOT_DEVICE

FIRMWARE: Final = Path("/usr/share/OVMF")
PROCESSORS: Final = 1
MEMORY_MIB: Final = 384  # the firmware wipes all of it after each unexpected reset, which is slow without KVM
_KERNELS_ROOT: Final = "/dev/vda"
_FIRST_COMMAND_LINE: Final = "console=ttyS0 root={root} rw net.ifnames=0 systemd.show_status=1 quiet"


class Boot(StrEnum):
    """The loader of the kernel."""

    KERNEL = "kernel"  # QEMU hands it to the firmware
    GRUB = "grub"  # shim and grub, from the disk
    DISK = "disk"  # the boot loader on the disk of an image of the user


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """A kind of machine.

    Attributes:
        name: for people and in file names.
        ak: ``ecc`` or ``rsa``.
        banks: PCR banks that are active.
        quoted: the banks that are quoted.
        boot: loader of the kernel.
        secure_boot: OVMF with enrolled keys, which boots only images that the distribution signed.
        ima_template: the kernel's name of IMA's template.
        append: more for the kernel's command line.
        ima_policy: a policy instead of the image's.
    """

    name: str = "plain"
    ak: str = "ecc"
    banks: tuple[str, ...] = ("sha256",)
    quoted: tuple[str, ...] = ("sha256",)
    boot: Boot = Boot.KERNEL
    secure_boot: bool = False
    ima_template: str = "ima-ng"
    append: str = ""
    ima_policy: Path | None = None

    def pcrs(self, indices: str) -> str:
        """These PCRs of the quoted banks, as settings have them."""
        return "+".join(f"{bank}:{indices}" for bank in self.quoted)

    @property
    def command_line(self) -> str:
        """The kernel's."""
        # Appended text wins: of ima_hash and ima_template the kernel uses the first, of most other options the last.
        # The hash comes first: the oldest template allows only SHA-1, and is refused while another hash is chosen.
        ima = f"ima_hash={'sha1' if self.ima_template == 'ima' else 'sha256'} ima_template={self.ima_template}"
        root = ROOT_DEVICE if self.boot is Boot.GRUB else _KERNELS_ROOT
        return " ".join(filter(None, (_FIRST_COMMAND_LINE.format(root=root), self.append, ima)))


def firmware(make: Make) -> tuple[Path, Path]:
    """OVMF and its variables as the package ships them.

    Raises:
        DemoError: not installed.
    """
    names = ("CODE_4M.secboot", "VARS_4M.ms") if make.secure_boot else ("CODE_4M", "VARS_4M")
    code, variables = (FIRMWARE / f"OVMF_{name}.fd" for name in names)
    for each in (code, variables):
        if not each.exists():
            raise DemoError(f"{each} is missing (package ovmf)")
    return code, variables


def board_command(make: Make, image: Path, folder: Path, sockets: Path) -> tuple[str, ...]:
    """QEMU's command line.

    Args:
        make: what kind of machine.
        image: folder with kernel and initrd, if QEMU hands them to the firmware.
        folder: of this machine: firmware variables, disk, console.
        sockets: folder of the sockets of the TPM and of QEMU.
    """
    code, _ = firmware(make)
    tpm_socket, door, qmp = (sockets / name for name in ("tpm", "door", "qmp"))
    machine = "q35,accel=tcg" + (",smm=on" if make.secure_boot else "")
    command = [
        "qemu-system-x86_64",
        "-machine",
        machine,
        "-cpu",
        "max",
        "-smp",
        str(PROCESSORS),
        "-m",
        str(MEMORY_MIB),
    ]
    command += ["-display", "none", "-nodefaults", "-rtc", "base=utc,clock=host"]
    if make.secure_boot:
        command += ["-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1"]
    command += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"]
    command += ["-drive", f"if=pflash,format=raw,unit=1,file={folder / 'variables.fd'}"]
    command += ["-drive", f"if=none,id=r,format=raw,cache=unsafe,file={folder / 'disk.img'}"]
    from_disk = make.boot is not Boot.KERNEL
    command += ["-device", "virtio-blk-pci,drive=r" + (",bootindex=0" if from_disk else "")]
    command += ["-chardev", f"socket,id=c,path={tpm_socket}", "-tpmdev", "emulator,id=t,chardev=c"]
    command += ["-device", "tpm-tis,tpmdev=t", "-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]
    command += ["-chardev", f"socket,id=d,path={door},server=on,wait=off"]
    command += ["-device", "virtserialport,chardev=d,name=attestream.door"]
    command += ["-netdev", "user,id=n,ipv6=off", "-device", "virtio-net-pci,netdev=n,romfile="]
    command += ["-qmp", f"unix:{qmp},server=on,wait=off", "-no-reboot"]
    command += ["-chardev", f"file,id=s,path={folder / 'console'},append=on", "-serial", "chardev:s"]
    if from_disk:
        return tuple(command)
    command += ["-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd")]
    return (*command, "-append", make.command_line)
