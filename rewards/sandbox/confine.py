"""Namespaces, mounts and limits: what a box's process does to itself before it runs anything unread.

Two processes take part. The supervisor enters new user, mount, network, IPC and UTS namespaces and a new root; its
child is process 1 of a new PID namespace, sets limits, gives up capabilities and installs the system-call filter.

An ordinary user enters a user namespace first, which grants the right to mount inside it. Root mounts with its own
right and then becomes user 65534 for good, so that a box never runs as root, not even as a root of nothing.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rlpath.rewards.sandbox import seccomp
from rlpath.rewards.sandbox.boot import BOOT

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
NAMESPACES = {"UTS": NEWUTS, "IPC": NEWIPC, "PID": NEWPID, "network": NEWNET}
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
ATTR_READ_ONLY, ATTR_NOSUID, ATTR_NODEV = 0x1, 0x2, 0x4
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_SETATTR = 442  # the same number on every architecture
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN = 6, 7, 21
NOBODY = 65534
DEVICES = ("null", "zero", "random", "urandom")
SYSTEM_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo")

libc = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """The kernel refused a protection; the message names it."""


def call(protection: str, result: int) -> None:
    """Check the result of a libc call that serves `protection`."""
    if result:
        raise Refused(f"{protection}: {os.strerror(ctypes.get_errno())}")


def readable_folders() -> list[str]:
    """What a box may read: the interpreter, its packages and the system's libraries."""
    found = [sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix]
    found = ["/usr/lib" if folder == "/usr" else folder for folder in found]
    return sorted({folder for folder in (*found, *SYSTEM_LIBRARIES) if Path(folder).is_dir() and folder != "/"})


def enter_namespaces(scratch_mb: int) -> None:
    """Leave the host's file system, network and processes; the next fork is process 1 of its own PID namespace.

    Raises Refused, and the process is then fit only to exit.
    """
    as_root = may_become_nobody() and has_capabilities(CAP_SYS_ADMIN)
    if as_root:
        call("mount namespace", libc.unshare(NEWNS))
    else:
        enter_user_namespace(NEWNS, "user and mount namespace")
    try:
        build_root(readable_folders(), scratch_mb)
        if as_root:
            become_nobody()
    except OSError as error:
        raise Refused(f"mount namespace: {error}") from None
    if as_root:
        call("user namespace", libc.unshare(NEWUSER))
    for name, flag in NAMESPACES.items():
        call(f"{name} namespace", libc.unshare(flag))


def bubblewrap_command(request: dict[str, Any]) -> list[str]:
    """The same isolation by bubblewrap, for systems that let only it make user namespaces.

    It starts a Python of its own, which takes some 50 ms longer than a fork of the zygote.
    """
    executable, own_code = sys.executable, str(Path(__file__).parent)
    folders = readable_folders()
    if not any(executable.startswith(f"{folder}/") for folder in folders):
        executable = os.path.realpath(executable)
        folders.append(executable)
    command = [request["bubblewrap"], "--unshare-all", "--die-with-parent", "--as-pid-1", "--cap-drop", "ALL"]
    command += ["--uid", str(NOBODY), "--gid", str(NOBODY)]
    command += ["--size", str(request["limits"]["scratch_mb"] << 20), "--tmpfs", "/tmp"]
    for device in DEVICES:
        command += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    for folder in [*folders, own_code]:
        linked = os.path.islink(folder)
        command += ["--symlink", os.readlink(folder), folder] if linked else ["--ro-bind", folder, folder]
    command += ["--remount-ro", "/", "--chdir", "/tmp", executable, "-s", "-P", "-B", "-c", BOOT]
    return [*command, "play", own_code, json.dumps(request)]


def enter_user_namespace(flags: int, protection: str) -> None:
    """A user namespace in which we are 65534 and may mount."""
    uid, gid = os.geteuid(), os.getegid()
    call(protection, libc.unshare(NEWUSER | flags))
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1")
    except OSError as error:
        raise Refused(f"{protection}: {error}") from None


def has_capabilities(*numbers: int) -> bool:
    """Whether this process has all the capabilities of these numbers."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (effective,) = (int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return all(effective >> number & 1 for number in numbers)


def may_become_nobody() -> bool:
    """Whether this is a root who can turn into user 65534; the root of a container may not be."""
    if os.geteuid() != 0 or not has_capabilities(CAP_SETGID, CAP_SETUID):
        return False
    ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    mapped = any(int(first) <= NOBODY < int(first) + int(count) for first, _, count in ranges)
    return mapped and Path("/proc/self/setgroups").read_text().strip() == "allow"


def become_nobody() -> None:
    """From root to user 65534, with no way back."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def build_root(folders: Iterable[str], scratch_mb: int) -> None:
    """A new root: `folders` and a few devices read-only, /tmp for scratch, nothing else."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    os.mkdir("/tmp/old")
    call("mount namespace (pivot_root)", libc.syscall(PIVOT_ROOT[platform.machine()], b"/tmp", b"/tmp/old"))
    os.chdir("/")
    os.mkdir("/tmp")
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, f"size={scratch_mb}m,nr_inodes=4k,mode=1777")
    os.mkdir("/dev")
    for device in DEVICES:
        Path(f"/dev/{device}").touch()
        bind(f"/old/dev/{device}", f"/dev/{device}", ATTR_READ_ONLY | ATTR_NOSUID)
    for folder in folders:
        expose(folder)
    call("mount namespace (umount)", libc.umount2(b"/old", MNT_DETACH))
    os.rmdir("/old")
    set_attributes("/", ATTR_READ_ONLY | ATTR_NOSUID | ATTR_NODEV, recursive=False)
    os.chdir("/tmp")


def expose(folder: str) -> None:
    """`folder` of the old root at the same place in the new one, read-only; a link stays a link."""
    if os.path.islink(f"/old{folder}"):
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        os.symlink(os.readlink(f"/old{folder}"), folder)
    elif not os.path.isdir(folder):  # else it lies inside a folder that is already there
        os.makedirs(folder, exist_ok=True)
        bind(f"/old{folder}", folder, ATTR_READ_ONLY | ATTR_NOSUID | ATTR_NODEV)


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    arguments = (source.encode(), target.encode(), kind.encode() if kind else None)
    result = libc.mount(*arguments, ctypes.c_ulong(flags), options.encode())
    call(f"mount namespace (mount on {target})", result)


def bind(source: str, target: str, attributes: int) -> None:
    mount(source, target, None, MS_BIND | MS_REC)
    set_attributes(target, attributes, recursive=True)


def set_attributes(target: str, attributes: int, recursive: bool) -> None:
    """mount_setattr(2), of Linux 5.12: the one call that makes a whole tree read-only."""
    settings = struct.pack("=QQQQ", attributes, 0, 0, 0)
    flags = AT_RECURSIVE if recursive else 0
    result = libc.syscall(MOUNT_SETATTR, AT_FDCWD, target.encode(), flags, settings, ctypes.c_size_t(len(settings)))
    call("read-only mounts (mount_setattr, Linux 5.12)", result)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    seccomp.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def lock_down(limits: dict[str, Any], with_filter: bool, may_write: bool) -> None:
    """Limits, no capabilities, no debugger, system-call filter: the last thing before the program. Raises Refused."""
    os.umask(0o077)
    if may_become_nobody():  # only where namespaces were waived
        become_nobody()
    set_limits(limits)
    seccomp.prctl(PR_SET_DUMPABLE, 0)
    header, none = struct.pack("=Ii", 0x20080522, 0), bytes(24)  # _LINUX_CAPABILITY_VERSION_3, this process
    call("dropping capabilities", libc.capset(header, none))
    if not with_filter:
        return
    try:
        seccomp.install(may_write)
    except (OSError, KeyError) as error:
        raise Refused(f"seccomp filter: {error}") from None


def set_limits(limits: dict[str, Any]) -> None:
    """Resource limits, hard and soft alike; a hard limit that is already lower stays."""
    wanted = {
        resource.RLIMIT_CPU: int(limits["seconds"]) + 1,
        resource.RLIMIT_AS: limits["memory_mb"] << 20,
        resource.RLIMIT_NPROC: limits["threads"],
        resource.RLIMIT_FSIZE: limits["scratch_mb"] << 20,
        resource.RLIMIT_NOFILE: limits["files"],
        resource.RLIMIT_STACK: 64 << 20,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
