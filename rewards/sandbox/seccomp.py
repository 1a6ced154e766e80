"""The system-call filter: a list of what a Python program needs; the kernel refuses everything else.

Assembled by hand as classic BPF (Linux, Documentation/userspace-api/seccomp_filter.rst) so that no library is needed.
A refused call fails with ENOSYS, which the C library and Python take calmly: they fall back or raise OSError. Not on
the list, on purpose: sockets, processes (only threads), execve, ptrace, mounts, namespaces, memfd, io_uring, bpf, keys.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import struct

# name:x86_64:aarch64, "-" where the architecture lacks the call. Linux, arch/x86/entry/syscalls/syscall_64.tbl and
# include/uapi/asm-generic/unistd.h.
READING = """
access:21:- alarm:37:- arch_prctl:158:- brk:12:214 capget:125:90 chdir:80:49 clock_getres:229:114 clock_gettime:228:113
clock_nanosleep:230:115 close:3:57 close_range:436:436 dup2:33:- dup3:292:24 dup:32:23 epoll_create1:291:20
epoll_ctl:233:21 epoll_pwait:281:22 epoll_wait:232:- exit:60:93 exit_group:231:94 faccessat2:439:439 faccessat:269:48
fadvise64:221:223 fchdir:81:50 fdatasync:75:83 fstat:5:80 fstatfs:138:44 fsync:74:82 futex:202:98
get_robust_list:274:100 getcwd:79:17 getdents64:217:61 getegid:108:177 geteuid:107:175 getgid:104:176 getgroups:115:158
getitimer:36:102 getpgid:121:155 getpgrp:111:- getpid:39:172 getppid:110:173 getpriority:140:141 getrandom:318:278
getrlimit:97:163 getrusage:98:165 getsid:124:156 gettid:186:178 gettimeofday:96:169 getuid:102:174 lseek:8:62 lstat:6:-
madvise:28:233 membarrier:324:283 mmap:9:222 mprotect:10:226 mremap:25:216 munmap:11:215 nanosleep:35:101
newfstatat:262:79 pause:34:- pipe2:293:59 pipe:22:- poll:7:- ppoll:271:73 pread64:17:67 pselect6:270:72 pwrite64:18:68
read:0:63 readlink:89:- readlinkat:267:78 readv:19:65 restart_syscall:219:128 rseq:334:293 rt_sigaction:13:134
rt_sigpending:127:136 rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigsuspend:130:133 rt_sigtimedwait:128:137
sched_getaffinity:204:123 sched_yield:24:124 select:23:- set_robust_list:273:99 set_tid_address:218:96 setitimer:38:103
sigaltstack:131:132 stat:4:- statfs:137:43 statx:332:291 sysinfo:99:179 time:201:- times:100:153 umask:95:166
uname:63:160 write:1:64 writev:20:66
"""
WRITING = """
chmod:90:- copy_file_range:326:285 fchmod:91:52 fchmodat:268:53 ftruncate:77:46 mkdir:83:- mkdirat:258:34 rename:82:-
renameat2:316:276 renameat:264:38 rmdir:84:- sendfile:40:71 truncate:76:45 unlink:87:- unlinkat:263:35 utimensat:280:88
"""
CONDITIONAL = "clone:56:220 fcntl:72:25 ioctl:16:29 kill:62:129 open:2:- openat:257:56 prlimit64:302:261 tgkill:234:131"

CLONE_THREAD, CLONE_NAMESPACES = 0x10000, 0x7E020080
FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 1030)  # duplicates, flags and locks; not F_SETOWN, which can signal other processes
IOCTL = (0x5401, 0x5451, 0x5450, 0x5421)  # TCGETS (isatty), FIOCLEX, FIONCLEX, FIONBIO
WRITE_FLAGS = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | os.O_APPEND

ARCHITECTURES = {"x86_64": (1, 0xC000003E), "aarch64": (2, 0xC00000B7)}
LOAD, EQUAL, AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | errno.ENOSYS
NR_OFFSET, ARCH_OFFSET, ARGS_OFFSET = 0, 4, 16


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One `struct sock_filter`."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


def numbers(table: str, column: int) -> dict[str, int]:
    """Call name → number in `column` of a table above."""
    rows = (row.split(":") for row in table.split())
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def rules(pid: int, may_write: bool) -> dict[str, tuple[int, int, tuple[int, ...]]]:
    """Call name → (argument, mask, values): the call passes if `argument & mask` is one of `values`."""
    found = {
        "clone": (0, CLONE_THREAD | CLONE_NAMESPACES, (CLONE_THREAD,)),
        "fcntl": (1, 0xFFFFFFFF, FCNTL),
        "ioctl": (1, 0xFFFFFFFF, IOCTL),
        "kill": (0, 0xFFFFFFFF, (pid,)),
        "prlimit64": (0, 0xFFFFFFFF, (0,)),
        "tgkill": (0, 0xFFFFFFFF, (pid,)),
    }
    if not may_write:
        found |= {"open": (1, WRITE_FLAGS, (os.O_RDONLY,)), "openat": (2, WRITE_FLAGS, (os.O_RDONLY,))}
    return found


@functools.cache
def assemble(machine: str, pid: int, may_write: bool) -> bytes:
    """The filter for a process `pid`, as an array of `struct sock_filter`; KeyError for an unknown architecture."""
    column, audit = ARCHITECTURES[machine]
    program = [
        instruction(LOAD, ARCH_OFFSET),
        instruction(EQUAL, audit, 1, 0),
        instruction(RETURN, KILL),
        instruction(LOAD, NR_OFFSET),
        instruction(AT_LEAST, 0x40000000, 0, 1),  # the x32 numbers of x86_64 are other names for the same calls
        instruction(RETURN, KILL),
    ]
    conditions = rules(pid, may_write)
    calls = numbers(READING + CONDITIONAL + (WRITING if may_write else ""), column)
    for name, number in calls.items():
        if name not in conditions:
            program += [instruction(EQUAL, number, 0, 1), instruction(RETURN, ALLOW)]
            continue
        argument, mask, values = conditions[name]
        tests = [instruction(LOAD, ARGS_OFFSET + 8 * argument), instruction(AND, mask)]
        for value in values:
            tests += [instruction(EQUAL, value, 0, 1), instruction(RETURN, ALLOW)]
        tests.append(instruction(RETURN, REFUSE))
        program += [instruction(EQUAL, number, 0, len(tests)), *tests]
    return b"".join([*program, instruction(RETURN, REFUSE)])


class FilterProgram(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install(may_write: bool) -> None:
    """Put the filter on this process for good; OSError or KeyError (architecture) if that cannot be done."""
    code = assemble(platform.machine(), os.getpid(), may_write)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = FilterProgram(len(code) // 8, ctypes.addressof(buffer))
    prctl(38, 1, 0)  # PR_SET_NO_NEW_PRIVS
    prctl(22, 2, ctypes.addressof(program))  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def prctl(option: int, first: int, second: int = 0) -> None:
    """prctl(2); OSError where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(first), ctypes.c_ulong(second), ctypes.c_ulong(0), ctypes.c_ulong(0)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
