"""Runs inside the build of the image: gathers what a service needs of the base, settles what pip has installed.

    python assemble.py runtime FOLDER             the running Python with its C libraries, as a root file system
    python assemble.py packages FOLDER RUNTIME    what was installed: without what no service reads, byte-compiled
    python assemble.py source|models FOLDER       what was copied, byte-compiled

Standard library only. Whatever it leaves has a fixed time, mode and order, so that the same files make the same layer.
"""

import compileall
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from py_compile import PycInvalidationMode

USER = "65532"
# Of the standard library: what builds, draws, tests or installs, and what needs further C libraries.
STANDARD = [
    *("__pycache__", "config-*", "dist-packages", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data"),
    *("site-packages", "test", "tkinter", "turtle.py", "turtledemo", "venv"),
    *("lib-dynload/_test*", "lib-dynload/_tkinter*", "lib-dynload/_curses*", "lib-dynload/_dbm*", "lib-dynload/_gdbm*"),
    *("lib-dynload/readline*", "lib-dynload/nis*"),
]
# Of installed packages: scripts, tests, what is for compilers and type checkers, and parts of onnxruntime that prepare
# graphs, or serve C programs: the Python module has its own copy of the library inside.
PACKAGES = ["bin", "*/tests", "*.pyi", "*.pyx", "*.pxd", "*.c", "*.h", "onnxruntime/capi/libonnxruntime.so.*"]
PACKAGES += [f"onnxruntime/{name}" for name in ("quantization", "tools", "transformers")]
# What a wheel may expect of any Linux (manylinux), beside what Python itself needs.
LIBRARIES = ["libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0"]
ALSO = ["/etc/ld.so.cache", "/etc/os-release", "/usr/lib/os-release", "/etc/ssl/certs/ca-certificates.crt"]


def runtime(root: Path) -> None:
    python, standard = Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib"))
    for link in ("bin", "lib", "lib64", "sbin"):  # where the base has merged them with /usr
        if os.path.islink(f"/{link}"):
            root.mkdir(exist_ok=True)
            os.symlink(os.readlink(f"/{link}"), root / link)
    copied(python, root)
    os.symlink(python.name, within(root, python).with_name("python"))
    shutil.copytree(standard, within(root, standard), ignore=leaving(standard, STANDARD))
    binaries = [python, *(standard / "lib-dynload").glob("*.so")]
    known = dict(re.findall(r"(\S+) .*=> (\S+)", shown("ldconfig", "-p"))[::-1])  # the first of a name counts
    binaries = [path for path in binaries if within(root, path).exists()]
    libraries = sorted({Path(known[name]) for name in LIBRARIES} | set(needed(binaries).values()))
    for library in libraries:
        copied(library, root)
    for name in ALSO:
        if os.path.exists(name):
            copied(Path(name), root)
    vouched(libraries, root)
    (root / "etc" / "passwd").write_text(f"service:x:{USER}:{USER}::/tmp:/\n")
    (root / "etc" / "group").write_text(f"service:x:{USER}:\n")
    (root / "tmp").mkdir()
    compiled(within(root, standard), root)


def packages(root: Path, base: Path) -> None:
    home = root / "app" / "packages"
    for path in sorted(home.rglob("*"), reverse=True):
        if any(fnmatch(str(path.relative_to(home)), pattern) for pattern in PACKAGES):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    lacking = {name for name, path in needed(home.rglob("*.so*")).items()
               if not (path.is_relative_to(root) or within(base, path).exists())}  # fmt: skip
    if lacking:
        sys.exit(f"the packages need {', '.join(sorted(lacking))}: name them among LIBRARIES in ci/image/assemble.py")
    compiled(home, root)


def within(root: Path, path: Path) -> Path:
    """Where a path of the base lies below `root`, past the links of the folders above it."""
    return root / str(path.parent.resolve() / path.name).lstrip("/")


def copied(path: Path, root: Path) -> None:
    """Copy a file of the base, and what it links to, to the same place below `root`."""
    to = within(root, path)
    to.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(to):
        shutil.copy2(path, to, follow_symlinks=False)
    if path.is_symlink():
        copied(path.parent / os.readlink(path), root)


def leaving(top: Path, patterns: Iterable[str]):
    """For shutil.copytree: what not to copy, by patterns of paths below `top` or of names."""

    def left_out(folder: str, names: list[str]) -> list[str]:
        below = {name: str((Path(folder) / name).relative_to(top)) for name in names}
        return [name for name in names if any(fnmatch(below[name], p) or fnmatch(name, p) for p in patterns)]

    return left_out


def needed(binaries: Iterable[Path]) -> dict[str, Path]:
    """Name -> file of every shared library that the loader finds, or does not find, for the binaries."""
    found = {}
    for binary in sorted(binaries):
        for line in shown("ldd", str(binary)).splitlines():
            name, _, where = line.strip().partition(" => ")
            where = (where or name).rsplit(" (", 1)[0]
            if where.startswith("/") or where == "not found":
                found[Path(name.split(" (")[0]).name] = Path(where)
    return found


def vouched(files: Iterable[Path], root: Path) -> None:
    """Keep dpkg's word on the Debian packages that the files are from, for scanners, and their copyright."""
    paths = {name for file in files for path in (file, file.resolve())
             for name in (str(path), str(path).removeprefix("/usr"))}  # fmt: skip
    owners = set(re.findall(r"^([^:\s]+)(?::\S+)?: /", shown("dpkg-query", "--search", *sorted(paths)), re.MULTILINE))
    status = root / "var" / "lib" / "dpkg" / "status.d"
    status.mkdir(parents=True)
    for owner in sorted(owners):
        (status / owner).write_text(shown("dpkg-query", "--status", owner))
        licence = Path("/usr/share/doc") / owner / "copyright"
        if licence.exists():
            copied(licence, root)


def shown(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def compiled(folder: Path, root: Path) -> None:
    done = compileall.compile_dir(
        folder, maxlevels=50, quiet=1, stripdir=str(root), prependdir="/",
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip
    if not done:
        sys.exit(f"some of {folder} could not be compiled")


def settle(root: Path) -> None:
    for path in sorted([root, *root.rglob("*")], reverse=True):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        if path == root / "tmp":
            path.chmod(0o1777)
        os.utime(path, (0, 0), follow_symlinks=False)


if __name__ == "__main__":
    part, *folders = sys.argv[1:]
    if part == "runtime":
        runtime(Path(folders[0]))
    elif part == "packages":
        packages(*map(Path, folders))
    else:
        compiled(Path(folders[0]), Path(folders[0]))
    settle(Path(folders[0]))
