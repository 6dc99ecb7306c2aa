"""Options of ``./run vm``: the machine to boot, and the arguments of QEMU."""

from pathlib import Path

import pytest

from deploy.vm.faults import FAULTS
from deploy.vm.make import Boot, Make, board_command
from deploy.vm.options import make_of, parse


def command(make: Make, folder: Path) -> tuple[str, ...]:
    return board_command(make, folder / "image", folder / "machine", folder / "sockets")


def test_the_distributions_kernel_is_handed_to_the_firmware_unless_told_otherwise() -> None:
    assert make_of(parse([])).boot is Boot.KERNEL
    assert make_of(parse(["--boot", "grub"])).boot is Boot.GRUB


def test_an_image_without_a_kernel_beside_its_disk_boots_from_the_disk(tmp_path: Path) -> None:
    assert make_of(parse(["--image", str(tmp_path)])).boot is Boot.DISK
    (tmp_path / "vmlinuz").touch()
    assert make_of(parse(["--image", str(tmp_path)])).boot is Boot.KERNEL
    assert make_of(parse(["--image", str(tmp_path), "--boot", "grub"])).boot is Boot.GRUB


def test_what_one_appends_wins() -> None:
    """Of ima_template and ima_hash the kernel takes the first that it reads, of console and root the last."""
    line = make_of(parse(["--append", "ima_template=ima-buf root=/dev/vdb"])).command_line
    assert line.index("ima_template=ima-buf") < line.index("ima_template=ima-ng")
    assert line.index("root=/dev/vdb") > line.index("root=/dev/vda")


@pytest.mark.needs("qemu-system-x86_64")
@pytest.mark.skipif(not Path("/usr/share/OVMF/OVMF_CODE_4M.fd").exists(), reason="needs the package ovmf")
def test_only_what_is_not_booted_from_the_disk_has_a_kernel_on_the_command_line(tmp_path: Path) -> None:
    assert "-kernel" in command(Make(), tmp_path)
    for boot in (Boot.GRUB, Boot.DISK):
        said = command(Make(boot=boot), tmp_path)
        assert "-kernel" not in said
        assert "virtio-blk-pci,drive=r,bootindex=0" in said
    assert "root=/dev/vda2" in Make(boot=Boot.GRUB).command_line


def test_each_fault_is_undone() -> None:
    assert len({each.name for each in FAULTS}) == len(FAULTS)
    assert all(each.harm and each.mend and each.todo for each in FAULTS)
