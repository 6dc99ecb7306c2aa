"""A disk that the firmware boots by itself: GPT, an EFI system partition with shim and grub, the image's file system.

The distribution signed shim and grub, so Secure Boot accepts them. grub reads its commands from the EFI system
partition, kernel and initrd from the root, and measures all of it into PCRs 8 and 9. Identifiers are fixed: the
firmware measures the partition table, and the same image must give the same PCRs.

``linuxefi``, a name that newer grubs do not know, enters the kernel through its EFI stub. Debian 12's ``linux`` does so
only under Secure Boot; otherwise it skips the stub, and with it the boot log, which the stub hands to the kernel.
"""

import subprocess
from pathlib import Path
from typing import Final

from deploy.demo.problem import DemoError
from deploy.demo.processes import find_program

ROOT_DEVICE: Final = "/dev/vda2"
_MIB: Final = 1 << 20
_SECTOR_BYTES: Final = 512
_EFI_START_MIB: Final = 1
_EFI_MIB: Final = 32
_END_MIB: Final = 1  # at the end of the disk, for the second partition table
_TABLE: Final = """\
label: gpt
label-id: 6A7465A3-0D5C-4B1B-8E0F-3F0F5A0C0010
start={efi_start}, size={efi_size}, type=U, uuid=6A7465A3-0D5C-4B1B-8E0F-3F0F5A0C0011, name=EFI
start={root_start}, size={root_size}, type=L, uuid=6A7465A3-0D5C-4B1B-8E0F-3F0F5A0C0012, name=root
"""
_GRUB: Final = """\
search --no-floppy --set=root --file /boot/vmlinuz
if linuxefi /boot/vmlinuz {command_line}; then
    initrdefi /boot/initrd.img
else
    linux /boot/vmlinuz {command_line}
    initrd /boot/initrd.img
fi
boot
"""
_PROGRAM_S: Final = 120


def write_boot_disk(image: Path, command_line: str, disk: Path) -> None:
    """Writes the disk.

    Args:
        image: folder with ``disk.img``, which has ``/boot/vmlinuz`` and ``/boot/initrd.img``, and with ``efi``.
        command_line: of the kernel.
        disk: the file to write.

    Raises:
        DemoError: a program is missing or failed.
    """
    file_system = image / "disk.img"
    root_mib = -(-file_system.stat().st_size // _MIB)
    root_start_mib = _EFI_START_MIB + _EFI_MIB
    sectors = _MIB // _SECTOR_BYTES
    with disk.open("wb") as made:
        made.truncate((root_start_mib + root_mib + _END_MIB) * _MIB)
    table = _TABLE.format(
        efi_start=_EFI_START_MIB * sectors,
        efi_size=_EFI_MIB * sectors,
        root_start=root_start_mib * sectors,
        root_size=root_mib * sectors,
    )
    _run("sfdisk", "--quiet", str(disk), given=table)
    grub = disk.with_name("grub.cfg")
    grub.write_text(_GRUB.format(command_line=command_line), encoding="utf-8")
    efi = f"{disk}@@{_EFI_START_MIB}M"  # mtools' way to name a part of a file
    _run("mformat", "-i", efi, "-T", str(_EFI_MIB * sectors), "-N", "6a7465a3", "::")
    _run("mmd", "-i", efi, "::/EFI", "::/EFI/BOOT", "::/EFI/debian")
    _run("mcopy", "-i", efi, *(str(each) for each in sorted((image / "efi").iterdir())), "::/EFI/BOOT")
    _run("mcopy", "-i", efi, str(grub), "::/EFI/debian/grub.cfg")
    place = (f"if={file_system}", f"of={disk}", "bs=1M", f"seek={root_start_mib}", "conv=sparse,notrunc", "status=none")
    _run("dd", *place)


def _run(program: str, *arguments: str, given: str = "") -> None:
    try:
        subprocess.run(
            [find_program(program), *arguments],
            input=given,
            check=True,
            capture_output=True,
            text=True,
            timeout=_PROGRAM_S,
        )
    except subprocess.CalledProcessError as error:
        raise DemoError(f"{program}: {error.stderr.strip()}") from error
