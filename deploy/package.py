"""``./run package``: the attester agent as a Debian package, made from this checkout and the locked packages.

All Python code is under ``/usr/lib/attestream``, separate from the distribution's own packages: the agent from
a wheel of the tree, and from the environment in ``.venv`` exactly the distributions that it needs. tpm2-pytss and cbor2
are compiled, so the package is for one architecture and one minor version of Python; its control file states both.
The same tree gives the same bytes.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCES: Final = ROOT / "deploy" / "debian"
NAME: Final = "attestream-agent"
TCTI: Final = "libtss2-tcti-device"
LIBRARY: Final = Path("usr/lib/attestream")
PACKAGES: Final = ("attester_agent", "runtime", "schemas")  # of the wheel, those that the agent imports
EPOCH: Final = "1700000000"  # of every file in the package: contents alone make a version
# The libraries that tpm2-pytss links against: Debian 12's names, and those of Debian 13 and Ubuntu (64-bit time).
LIBRARIES: Final = {
    "libtss2-esys": "libtss2-esys-3.0.2-0 | libtss2-esys-3.0.2-0t64",
    "libtss2-fapi": "libtss2-fapi1 | libtss2-fapi1t64",
    "libtss2-mu": "libtss2-mu0 | libtss2-mu-4.0.1-0t64",
    "libtss2-policy": "libtss2-policy0 | libtss2-policy0t64",  # a library of its own since 4.0
    "libtss2-rc": "libtss2-rc0 | libtss2-rc0t64",
    "libtss2-sys": "libtss2-sys1 | libtss2-sys1t64",
    "libtss2-tctildr": "libtss2-tctildr0 | libtss2-tctildr0t64",
    TCTI: "libtss2-tcti-device0 | libtss2-tcti-device0t64",
}


def main(arguments: list[str] | None = None) -> int:
    """Builds the package; prints its path."""
    parser = argparse.ArgumentParser(prog="./run package", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the package (default: dist)")
    options = parser.parse_args(arguments)
    if shutil.which("dpkg-deb") is None:
        print("package: dpkg-deb is not installed (package dpkg)", file=sys.stderr)
        return 2
    try:
        print(build(options.out))
    except subprocess.CalledProcessError as error:
        print(f"package: {error}\n{error.stdout}{error.stderr}", file=sys.stderr)
        return 1
    return 0


def build(out: Path) -> Path:
    """Writes the package into ``out``; returns its path."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="attestream-package-") as scratch:
        tree = Path(scratch) / "tree"
        version = _fill(tree, Path(scratch))
        architecture = _output("dpkg", "--print-architecture").strip()
        _write_control(tree, version, architecture)
        package = out / f"{NAME}_{version}_{architecture}.deb"
        # Mode bits and times must not depend on the user who packs.
        for path in [tree, *tree.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        command = ["dpkg-deb", "--root-owner-group", "-Zxz", "-z3", "--build", str(tree), str(package)]
        _output(*command, environment={"SOURCE_DATE_EPOCH": EPOCH})
        return package


def fingerprint() -> str:
    """A digest of all inputs of the package: equal digests mean equal packages."""
    total = hashlib.sha256(f"{sys.version} {_output('dpkg', '--print-architecture')}".encode())
    places = [ROOT / name for name in (*PACKAGES, "deploy/debian", "deploy/systemd")]
    files = [
        path for place in places for path in place.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    files += [
        ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE", "docs/operations.md", "docs/enrolment.md")
    ]
    for path in sorted([*files, Path(__file__)]):
        total.update(f"{path.relative_to(ROOT)} {path.stat().st_mode:o} ".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    # The distributions that are installed in the environment, by any installer.
    installed = sorted(f"{each.metadata['Name']} {each.version}" for each in metadata.distributions())
    total.update("\n".join(installed).encode())
    return total.hexdigest()


def closure(own: metadata.Distribution, extra: str) -> list[metadata.Distribution]:
    """The installed distributions that ``own[extra]`` needs, each once, sorted by name."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(own, extra)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        distribution, option = waiting.pop()
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": option}):
                continue
            name = _normal(requirement.name)
            for part in ("", *requirement.extras):
                if (name, part) not in seen:
                    seen.add((name, part))
                    found[name] = metadata.distribution(name)
                    waiting.append((found[name], part))
    return [found[name] for name in sorted(found)]


def libraries_of(compiled: Sequence[bytes]) -> list[str]:
    """What Debian calls the libraries that compiled modules name; the TCTI is loaded by the agent's settings."""
    return [
        package
        for name, package in LIBRARIES.items()
        if name == TCTI or any(f"{name}.so".encode() in module for module in compiled)
    ]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _fill(tree: Path, scratch: Path) -> str:
    library = tree / LIBRARY
    library.mkdir(parents=True)
    version = _unpack_own_wheel(library, scratch)
    (own,) = library.glob("attestream-*.dist-info")
    for distribution in closure(metadata.PathDistribution(own), "attester"):
        _copy(distribution, library)
    for source, place, mode in (
        (SOURCES / "attester-agent", "usr/bin/attester-agent", 0o755),
        (SOURCES / "agent.toml", "etc/attestream/agent.toml", 0o644),
        (SOURCES / "sysusers.conf", "usr/lib/sysusers.d/attestream.conf", 0o644),
        (ROOT / "deploy/systemd/attester-agent.service", "lib/systemd/system/attester-agent.service", 0o644),
        (ROOT / "LICENSE", f"usr/share/doc/{NAME}/copyright", 0o644),
        (ROOT / "docs/operations.md", f"usr/share/doc/{NAME}/operations.md", 0o644),
        (ROOT / "docs/enrolment.md", f"usr/share/doc/{NAME}/enrolment.md", 0o644),
    ):
        target = tree / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(mode)
    return version


def _unpack_own_wheel(library: Path, scratch: Path) -> str:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-index", "--no-deps"]
    _output(*pip, "--no-build-isolation", "--wheel-dir", str(scratch), str(ROOT))
    (wheel,) = scratch.glob("attestream-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            top = name.partition("/")[0]
            if top in PACKAGES or (top.endswith(".dist-info") and not name.endswith("/RECORD")):
                archive.extract(name, library)
    return wheel.name.split("-")[1]


def _copy(distribution: metadata.Distribution, library: Path) -> None:
    """All files of a distribution but scripts, caches and what only building needs."""
    for file in distribution.files or ():
        if ".." in file.parts or "__pycache__" in file.parts or file.name in {"RECORD", "INSTALLER", "REQUESTED"}:
            continue
        if file.suffix in {".h", ".c", ".pyi"} or file.name == "direct_url.json":
            continue
        target = library.joinpath(*file.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(str(distribution.locate_file(file))), target)


def _write_control(tree: Path, version: str, architecture: str) -> None:
    control = tree / "DEBIAN"
    control.mkdir()
    major, minor = sys.version_info[:2]
    needs = [f"python3 (>= {major}.{minor})", f"python3 (<< {major}.{minor + 1})"]
    needs += libraries_of([path.read_bytes() for path in tree.rglob("_libtpm2_pytss*.so")])
    needs += ["tpm-udev", "systemd"]
    size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file()) // 1024
    lines = [
        f"Package: {NAME}",
        f"Version: {version}",
        f"Architecture: {architecture}",
        "Maintainer: the attestream project <security@attestream.invalid>",
        f"Installed-Size: {size}",
        f"Depends: {', '.join(needs)}",
        "Section: admin",
        "Priority: optional",
        "Description: attester agent: pushes TPM 2.0 evidence of this machine",
        " Binds the TPM's clock to signed, time-stamped handles and pushes quotes and log increments over MQTT.",
    ]
    (control / "control").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (control / "conffiles").write_text("/etc/attestream/agent.toml\n", encoding="utf-8")
    for script in ("postinst", "prerm", "postrm"):
        shutil.copyfile(SOURCES / script, control / script)
        (control / script).chmod(0o755)


def _output(*command: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | (environment or {}),
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
