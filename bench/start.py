"""How long the services take to start on a database that is there."""
import os
import pathlib
import statistics
import subprocess
import time

DAEMONS = ("auth", "chat", "presence", "gateway")


def _supervise(home, *command):
    subprocess.run(["sv", *command, *(str(home / "service" / name) for name in DAEMONS)], check=True,
                   stdout=subprocess.DEVNULL)


def _healthy(imctl, address):
    return subprocess.run([imctl, "health", address], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def measure(home, addresses, times):
    """Stops the four daemons, and starts them together: the seconds until each answers that it is healthy, of
    which the last counts. The median and the longest of so many times; PostgreSQL runs on."""
    home = pathlib.Path(home)
    imctl = str(home / "bin" / "imctl")
    taken = []
    for _ in range(times):
        _supervise(home, "-w", "30", "down")
        begun = time.monotonic()
        # With -w it would look every half second.
        _supervise(home, "up")
        waiting = dict(addresses)
        while waiting:
            if time.monotonic() - begun > 60:
                raise TimeoutError(f"not healthy after a minute: {', '.join(waiting)}")
            for name, address in list(waiting.items()):
                if _healthy(imctl, address):
                    del waiting[name]
        taken.append(time.monotonic() - begun)
    return statistics.median(taken), max(taken)


def addresses(home):
    """Where the daemons of a set-up answer, as its ./im status says."""
    import json
    root = pathlib.Path(__file__).resolve().parents[1]
    status = subprocess.run([str(root / "im"), "status", "--json"], stdout=subprocess.PIPE, text=True, check=True,
                            env={**os.environ, "IM_HOME": str(home)})
    return {service["name"]: service["address"] for service in json.loads(status.stdout)["services"]
            if service["name"] in DAEMONS}
