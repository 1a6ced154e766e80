"""What a program in a box can see and do: nothing but compute. Every probe tries to do more and reports how it went."""

import json
import os
import shutil
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from rlpath.rewards.sandbox import Box, BoxError, Isolation, Limits, host, missing_protections, seccomp, wire

MISSING = missing_protections() if sys.platform == "linux" else {"namespaces": "this is not Linux"}
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"the kernel refuses a sandbox: {MISSING}")
SMALL = Limits(seconds=30, memory_mb=512, scratch_mb=4)


@pytest.fixture(scope="module", autouse=True)
def _no_zygote_left() -> Iterator[None]:
    """The zygote of these tests ends with them."""
    yield
    host.close_zygote()


def run(source: str, *arguments: object, limits: Limits = SMALL, isolation: Isolation | None = None) -> object:
    """What `probe(*arguments)` of `source` returns in a box, in wire form; {"error": ...} if it raises."""
    with Box("functions", limits, isolation=isolation) as box:
        box.wire.send({"sources": [source], "prelude": ""})
        loaded = box.wire.receive()
        if loaded is None or "error" in loaded:
            return loaded
        box.wire.send({"get": "probe"})
        box.wire.send({"call": box.wire.receive()["value"], "args": list(arguments), "kwargs": {}})
        reply = box.wire.receive()
        return reply if reply is None else reply.get("value", reply)


def attempt(statement: str, imports: str = "") -> str:
    """A program whose probe tries `statement` and says "refused" where that raises OSError or the like."""
    return (
        f"import os, sys, ctypes\n{imports}\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def probe():\n"
        "    try:\n"
        f"        done = {statement}\n"
        "    except (OSError, MemoryError, RuntimeError, ImportError) as error:\n"
        "        return 'refused'\n"
        "    return repr(done)\n"
    )


def syscall(number: int, *arguments: object) -> str:
    """A statement that makes one system call and raises OSError if it fails."""
    words = ", ".join(map(str, (number, *arguments)))
    return f"(lambda r: r if r >= 0 else (_ for _ in ()).throw(OSError(ctypes.get_errno())))(libc.syscall({words}))"


FORBIDDEN = {
    "tcp socket": attempt("socket.socket()", "import socket"),
    "unix socket": attempt("socket.socket(socket.AF_UNIX)", "import socket"),
    "netlink socket": attempt("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", "import socket"),
    "socket pair": attempt("_socket.socketpair()", "import _socket"),
    "name look-up": attempt("socket.getaddrinfo('localhost', 80)", "import socket"),
    "fork": attempt("os.fork()"),
    "forkpty": attempt("os.forkpty()"),
    "posix_spawn": attempt("os.posix_spawn(sys.executable, [sys.executable], {})"),
    "subprocess": attempt("subprocess.run([sys.executable, '-c', 'pass'])", "import subprocess"),
    "shell": attempt("(_ for _ in ()).throw(OSError()) if os.system('true') else 0"),
    "exec": attempt("os.execv(sys.executable, [sys.executable, '-c', 'pass'])"),
    "process pool": attempt("multiprocessing.Pool(2).map(abs, [1])", "import multiprocessing"),
    "read /proc": attempt("os.listdir('/proc')"),
    "read environment of the supervisor": attempt("open('/proc/1/environ').read()"),
    "read /etc/passwd": attempt("open('/etc/passwd').read()"),
    "read /etc/shadow": attempt("open('/etc/shadow').read()"),
    "read /sys": attempt("os.listdir('/sys')"),
    "read /home": attempt("os.listdir('/home')"),
    "read the working directory of the host": attempt(f"open({os.path.abspath('pyproject.toml')!r})"),
    "read this test": attempt(f"open({__file__!r}).read()"),
    "write into the root": attempt("open('/made', 'w')"),
    "write into the library": attempt("open(os.__file__, 'a')"),
    "remove from the library": attempt("os.unlink(os.__file__)"),
    "write beside the devices": attempt("open('/dev/made', 'w')"),
    "make a folder in the root": attempt("os.mkdir('/made')"),
    "make a device": attempt("os.mknod('/tmp/disk', 0o60600, os.makedev(8, 0))"),
    "leave the root": attempt("os.chroot('/tmp')"),
    "signal everyone": attempt("os.kill(-1, 9)"),
    "signal a neighbor": attempt("os.kill(2, 0)"),
    "become root": attempt("os.setuid(0)"),
    "nice below zero": attempt("os.nice(-5)"),
    "shared memory": attempt(
        "SharedMemory(create=True, size=8)", "from multiprocessing.shared_memory import SharedMemory"
    ),
    "memory file": attempt("os.memfd_create('x')"),
    "raise a limit": attempt("resource.setrlimit(resource.RLIMIT_AS, (-1, -1)) if 1 else 0", "import resource").replace(
        "OSError, MemoryError", "ValueError, OSError, MemoryError"
    ),
    "512 MB of memory": attempt("len(bytearray(600 << 20))"),
    "4 MB of files": attempt("[open(f'/tmp/{i}', 'wb').write(bytes(1 << 20)) for i in range(5)]"),
    "one large file": attempt("os.truncate(os.open('/tmp/x', 65), 1 << 30)"),
    "100 descriptors": attempt("[os.dup(1) for _ in range(100)]"),
    "100 threads": attempt(
        "[Thread(target=time.sleep, args=(9,)).start() for _ in range(100)]",
        "import time; from threading import Thread",
    ),
}
FORBIDDEN_CALLS = {
    "ptrace": syscall(101, 0, 0, 0, 0),
    "process_vm_readv": syscall(310, 1, 0, 0, 0, 0, 0),
    "mount": syscall(165, 0, "b'/tmp'", "b'tmpfs'", 0, 0),
    "umount": syscall(166, "b'/tmp'", 2),
    "pivot_root": syscall(155, "b'/tmp'", "b'/tmp'"),
    "open_tree": syscall(428, -100, "b'/'", 1),
    "unshare": syscall(272, 0x10000000),
    "setns": syscall(308, 0, 0),
    "clone a process": syscall(56, 17, 0, 0, 0, 0),
    "clone a namespace": syscall(56, 0x10010000 | 17, 0, 0, 0, 0),
    "clone3": syscall(435, 0, 0),
    "vfork": syscall(58),
    "bpf": syscall(321, 0, 0, 0),
    "io_uring_setup": syscall(425, 8, 0),
    "userfaultfd": syscall(323, 0),
    "perf_event_open": syscall(298, 0, 0, -1, -1, 0),
    "add_key": syscall(248, "b'user'", "b'x'", "b'y'", 1, -2),
    "seccomp": syscall(317, 1, 0, 0),
    "prctl": syscall(157, 4, 1, 0, 0, 0),
    "personality": syscall(135, 0),
    "open_by_handle_at": syscall(304, -100, 0, 0),
    "pidfd_open": syscall(434, 1, 0),
    "shmget": syscall(29, 0, 4096, 0o1600),
    "msgget": syscall(68, 0, 0o1600),
    "recvmsg": syscall(47, 4, 0, 0),
    "F_SETOWN": syscall(72, 4, 8, 1),
    "terminal input": syscall(16, 0, 0x5412, "b'x'"),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_program_is_refused(name: str) -> None:
    """No network, process, foreign file, foreign signal or more than its share of memory, disk and threads."""
    assert run(FORBIDDEN[name]) == "refused"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")
@pytest.mark.parametrize("name", FORBIDDEN_CALLS)
def test_a_system_call_is_refused(name: str) -> None:
    """The filter stops it although ctypes can ask for it."""
    assert run(attempt(FORBIDDEN_CALLS[name])) == "refused"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")
def test_x32_numbers_are_no_way_around_the_filter() -> None:
    """The second set of system-call numbers of x86_64 ends the program."""
    assert run(attempt(syscall(0x40000000 + 39))) is None


def test_what_a_program_sees() -> None:
    """It is user 65534 and process 1, without capabilities, with four devices and a clean environment."""
    source = (
        "import os, ctypes\n"
        "def probe():\n"
        "    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[7] * 6)\n"
        "    ctypes.CDLL(None).capget(header, data)\n"
        "    return [os.getuid(), os.getgid(), os.getpid(), os.getppid(), sum(data), sorted(os.listdir('/dev')),\n"
        "            sorted(os.environ), os.getcwd(), os.getgroups() in ([], [65534])]\n"
    )
    environment = ["HOME", "LANG", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TMPDIR"]
    devices = ["null", "random", "urandom", "zero"]
    assert run(source) == [65534, 65534, 1, 0, 0, devices, environment, "/tmp", True]


def test_open_descriptors() -> None:
    """Nothing is inherited but standard streams, all on /dev/null, and the channel."""
    source = (
        "import os\n"
        "def probe():\n"
        "    found = []\n"
        "    for number in range(4096):\n"
        "        try:\n"
        "            os.fstat(number)\n"
        "        except OSError:\n"
        "            continue\n"
        "        found.append(number)\n"
        "    return found\n"
    )
    assert run(source) == [0, 1, 2, 4]


def test_scratch_is_private_and_fresh() -> None:
    """A file one program writes is seen neither by the host nor by the next program."""
    source = "import os\ndef probe():\n    open('/tmp/left-behind', 'w').write('x')\n    return os.listdir('/tmp')\n"
    first, second = run(source), run(source)
    assert "left-behind" in str(first)
    assert first == second
    assert not Path("/tmp/left-behind").exists()


def test_state_is_fresh() -> None:
    """What one program patches in the interpreter is not patched for the next."""
    source = (
        "import builtins\n"
        "def probe():\n"
        "    found = hasattr(builtins, 'mark')\n"
        "    builtins.mark = 1\n"
        "    return found\n"
    )
    assert [run(source), run(source)] == [False, False]


def test_no_rlpath_module_is_loaded_inside() -> None:
    """A program finds none of the verifiers in its process."""
    assert run("import sys\ndef probe(): return [name for name in sys.modules if name.split('.')[0] == 'rlpath']") == []


def test_ordinary_programs_work() -> None:
    """Threads, files in scratch, temporary files, dataclasses, randomness and recursion are all there."""
    source = (
        "import dataclasses, random, secrets, sys, tempfile, threading, decimal, uuid\n"
        "@dataclasses.dataclass\n"
        "class Point:\n"
        "    x: int\n"
        "def deep(n): return 0 if n == 0 else 1 + deep(n - 1)\n"
        "def probe():\n"
        "    found = []\n"
        "    thread = threading.Thread(target=found.append, args=(Point(3).x,))\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "    with tempfile.TemporaryFile() as file:\n"
        "        file.write(b'ab')\n"
        "        file.seek(0)\n"
        "        found.append(file.read().decode())\n"
        "    sys.setrecursionlimit(20000)\n"
        "    return [*found, deep(10000), random.random() < 1, len(secrets.token_bytes(4)), len(str(uuid.uuid4()))]\n"
    )
    assert run(source) == [3, "ab", 10000, True, 4, 36]


def test_a_box_is_killed_at_its_deadline() -> None:
    """A busy or sleeping program ends with its second, and its process with it."""
    for body in ("while True: pass", "import time; time.sleep(60)", "import signal; signal.sigwait([signal.SIGUSR1])"):
        start = time.monotonic()
        with (
            pytest.raises(wire.WireError, match="time limit"),
            Box("functions", Limits(seconds=0.5)) as box,
        ):
            box.wire.send({"sources": [body], "prelude": ""})
            box.wire.receive()
        assert time.monotonic() - start < 4
        assert box.ending == -signal.SIGKILL


def test_the_supervisor_keeps_the_deadline_without_its_host() -> None:
    """If the host forgets a box, the box still ends a second after its time."""
    with Box("functions", Limits(seconds=0.2)) as box:
        box.wire.send({"sources": ["while True: pass"], "prelude": ""})
        box.deadline = time.monotonic() + 20
        start = time.monotonic()
        assert box.wait() == -signal.SIGKILL
        assert time.monotonic() - start < 6


def children(pid: int) -> list[int]:
    """Living child processes of `pid`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def test_no_process_is_left() -> None:
    """After boxes that ended, hung and were dropped, the zygote has no child."""
    waiting = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n"
    for source in ("def probe(): return 1", "import os; os._exit(3)", f"{waiting}def probe(): return 1"):
        run(source)
    with Box("functions", Limits(seconds=30)) as box:
        box.wire.send({"sources": ["while True: pass"], "prelude": ""})
    zygote = host._zygote
    assert zygote is not None
    limit = time.monotonic() + 5
    while children(zygote.process.pid) and time.monotonic() < limit:
        time.sleep(0.02)
    assert children(zygote.process.pid) == []


def test_a_dead_zygote_is_replaced() -> None:
    """Boxes start again after the process they are forked from was killed."""
    assert run("def probe(): return 1") == 1
    assert host._zygote is not None
    host._zygote.process.kill()
    host._zygote.process.wait()
    time.sleep(0.05)
    assert run("def probe(): return 2") == 2


def test_boxes_from_threads() -> None:
    """Eight threads start boxes at once and each gets its own answer."""
    found: dict[int, object] = {}

    def work(number: int) -> None:
        found[number] = run("def probe(n): return n * n", number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number * number for number in range(8)}


def _square(number: int) -> object:
    return run("def probe(n): return n * n", number)


def test_boxes_from_other_processes() -> None:
    """A spawned process starts a zygote of its own."""
    with get_context("spawn").Pool(1) as pool:
        assert pool.map(_square, [3]) == [9]


def test_boxes_from_a_fork() -> None:
    """A forked process starts a zygote of its own, and its end does not touch the parent's."""
    assert run("def probe(): return 1") == 1
    zygote = host._zygote
    child = os.fork()
    if child == 0:
        os._exit(0 if run("def probe(): return 7") == 7 and host._zygote is not zygote else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert run("def probe(): return 2") == 2
    assert host._zygote is zygote


def test_exit_codes() -> None:
    """The supervisor tells exit codes and signals apart; a fault of the program's own is a signal."""
    for source, code in (("import os; os._exit(3)", 3), ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV)):
        with Box("functions", SMALL) as box:
            box.wire.send({"sources": [source], "prelude": ""})
            assert box.wait() == code


def test_without_namespaces_the_filter_still_holds() -> None:
    """With that one protection waived: no writing, no network, no process, no signal to others."""
    isolation = Isolation("none")
    assert run("def probe(n): return n + 1", 4, isolation=isolation) == 5
    for statement in ("open('/tmp/made', 'w')", "os.mkdir('/tmp/made')", "os.fork()", f"os.kill({os.getpid()}, 0)"):
        assert run(attempt(statement), isolation=isolation) == "refused"
    assert run(attempt("socket.socket()", "import socket"), isolation=isolation) == "refused"


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_bubblewrap_makes_the_same_walls() -> None:
    """Where only bubblewrap may make namespaces, a program sees and may do as little."""
    isolation = Isolation("bubblewrap")
    host.probe(isolation)
    seen = "import os\ndef probe(): return [os.getpid(), os.getuid(), sorted(os.listdir('/dev')), os.getcwd()]"
    assert run(seen, isolation=isolation) == [1, 65534, ["null", "random", "urandom", "zero"], "/tmp"]
    for name in ("tcp socket", "fork", "read /proc", "read /etc/passwd", "write into the library", "signal everyone"):
        assert run(FORBIDDEN[name], isolation=isolation) == "refused"


def test_a_machine_without_namespaces_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusals are tried in order, own namespaces, bubblewrap, none, and told; boxes then refuse by default."""

    def probe(isolation: Isolation) -> None:
        if isolation.namespaces != "none":
            raise host.RefusedError(f"no {isolation.namespaces}")

    monkeypatch.setattr(host, "probe", probe)
    found = host.best_isolation.__wrapped__()
    assert found == (Isolation("none"), {"namespaces": "no own; no bubblewrap"})
    monkeypatch.setattr(host, "best_isolation", lambda: found)
    with pytest.raises(BoxError, match="no own"):
        Box("functions", SMALL)


def test_an_impossible_box_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request the supervisor cannot serve is an error of the sandbox, not a finding about a program."""
    monkeypatch.setattr(host, "_request", lambda _message, _descriptors: None)
    with pytest.raises(BoxError, match="lost"), Box("functions", SMALL):
        pass


def run_filter(program: bytes, number: int, audit: int, arguments: tuple[int, ...] = (0,) * 6) -> int:
    """What the filter returns for one system call: an interpreter of the six BPF instructions it uses."""
    data = struct.pack("=iIQ6Q", number, audit, 0, *arguments)
    accumulator, position = 0, 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("=HBBI", program, 8 * position)
        position += 1
        if code == seccomp.RETURN:
            return value
        if code == seccomp.LOAD:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == seccomp.AND:
            accumulator &= value
        else:
            holds = accumulator == value if code == seccomp.EQUAL else accumulator >= value
            position += if_true if holds else if_false


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 1), ("aarch64", 2)])
def test_the_filter_on_both_architectures(machine: str, column: int) -> None:
    """Every call of the table passes, threads pass, processes do not, the other architecture is killed."""
    program, audit = seccomp.assemble(machine, 1, may_write=True), seccomp.ARCHITECTURES[machine][1]
    for number in seccomp.numbers(seccomp.READING + seccomp.WRITING, column).values():
        assert run_filter(program, number, audit) == seccomp.ALLOW
    clone = seccomp.numbers(seccomp.CONDITIONAL, column)["clone"]
    thread = 0x3D0F00  # the flags of the C library's pthread_create
    for flags, verdict in ((thread, seccomp.ALLOW), (17, seccomp.REFUSE), (thread | 0x10000000, seccomp.REFUSE)):
        assert run_filter(program, clone, audit, (flags, 0, 0, 0, 0, 0)) == verdict
    assert run_filter(program, 0, 0x40000003) == seccomp.KILL
    assert run_filter(program, 5000, audit) == seccomp.REFUSE


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        1,
        -1,
        2**63,
        -(2**200),
        1.5,
        float("inf"),
        "a\ud800",
        [1, [2]],
        (1,),
        {1, 2},
        frozenset({3}),
        {1: "a", (2,): [None]},
        b"\x00\xff",
        1j,
        int,
    ],
    ids=repr,
)
def test_plain_data_survives_the_wire(value: object) -> None:
    """Decoding what was encoded gives an equal value of the same type."""

    def refuse(thing: object) -> dict[str, object]:
        raise AssertionError(thing)

    text = json.dumps(wire.encode(value, refuse))
    found = wire.decode(json.loads(text), lambda _number, _name: None)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "hostile",
    [
        {"t": 1},
        {"d": [[1]]},
        {"d": [[[], 1]]},
        {"i": "zz"},
        {"T": "eval"},
        {"T": 5},
        {"c": [1, 2, 3]},
        {"x": 1},
        {},
        {"b": 1},
        {"s": [[1]]},
        {"t": [], "s": []},
        {"x": []},
        {"x": ["eval", "1"]},
        {"x": ["fraction", 1, 0]},
        {"x": ["decimal", "?"]},
    ],
    ids=json.dumps,
)
def test_malformed_data_is_an_error(hostile: object) -> None:
    """What is no plain data raises WireError and nothing else."""
    with pytest.raises(wire.WireError):
        wire.decode(hostile, lambda _number, _name: None)
