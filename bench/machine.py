"""What the measurements ran on."""
import os
import pathlib
import platform
import statistics
import subprocess
import tempfile
import time

# Debian's packages whose versions matter to the figures.
PACKAGES = {"g++": "GCC", "libgrpc++-dev": "gRPC", "libprotobuf-dev": "Protobuf", "libpqxx-dev": "libpqxx",
            "libnghttp2-dev": "nghttp2", "libssl-dev": "OpenSSL", "libmimalloc-dev": "mimalloc", "libabsl-dev": "Abseil"}


def first_line(command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout.splitlines()[0]


def _versions():
    result = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *PACKAGES], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True)
    found = dict(line.split(" ", 1) for line in result.stdout.splitlines() if " " in line)
    return ", ".join(f"{name} {found[package]}" for package, name in PACKAGES.items() if found.get(package))


def _fdatasync_ms(folder):
    """The median of an 8 KB write and its way to the disk, where the set-up lies."""
    with tempfile.TemporaryFile(dir=folder) as file:
        taken = []
        for _ in range(200):
            os.pwrite(file.fileno(), bytes(8192), 0)
            begun = time.monotonic()
            os.fdatasync(file.fileno())
            taken.append(time.monotonic() - begun)
    return 1000 * statistics.median(taken)


def _idle():
    """What a core does that has nothing to do; waking a halted one of a virtual machine goes through its host."""
    def read(path):
        try:
            return pathlib.Path(path).read_text(encoding="utf-8").strip()
        except OSError:
            return ""
    governor = read("/sys/devices/system/cpu/cpuidle/current_governor") or "unknown"
    polling = read("/sys/module/haltpoll/parameters/guest_halt_poll_ns") if governor == "haltpoll" else ""
    return f"cpuidle governor {governor}" + (f", guest_halt_poll_ns {int(polling):,} (Linux's default: 200,000)"
                                             if polling else "")


def describe(home):
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    shared = [line.split("=")[1].strip() for line in (pathlib.Path(home) / "postgres" / "im.conf").read_text(
        encoding="utf-8").splitlines() if line.startswith("shared_buffers")]
    return f"""## Machine

| | |
|---|---|
| processor | {os.cpu_count()} cores, {model}, shared by services, PostgreSQL and the load generator |
| idle cores | {_idle()} |
| memory | {memory:.0f} GiB |
| kernel | Linux {platform.release().split('-')[0]} |
| disk | fdatasync of 8 KB: {_fdatasync_ms(home):.2f} ms in the median |
| PostgreSQL | {first_line(["psql", "--version"]).removeprefix("psql (PostgreSQL) ")}; fsync and synchronous_commit on, shared_buffers {shared[-1]}, else as in deploy/postgresql/im.conf |
| built with | {_versions()} |"""
