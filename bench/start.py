"""How long the services take to start on a database that is there."""
import pathlib
import statistics
import subprocess
import time

DAEMONS = ("auth", "chat", "presence", "gateway")
# Between two rounds of looks, which would else take the processor from what starts.
PAUSE_SECONDS = 0.01


def _supervise(home, *command):
    subprocess.run(["sv", *command, *(str(home / "service" / name) for name in DAEMONS)], check=True,
                   stdout=subprocess.DEVNULL)


def _healthy(imctl, question):
    return subprocess.run([imctl, "health", *question], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def measure(home, questions, times):
    """Stops the four daemons, and starts them together: the seconds until each answers that it is healthy, of
    which the last counts. `questions`: by daemon, with which arguments imctl asks it. The median and the longest of
    so many times, and the longest time between a look that found a daemon not healthy and the one that did, by which
    these can be too long; PostgreSQL runs on."""
    home = pathlib.Path(home)
    imctl = str(home / "bin" / "imctl")
    taken, gaps = [], [0.0]
    for _ in range(times):
        _supervise(home, "-w", "30", "down")
        begun = time.monotonic()
        # With -w it would look every half second.
        _supervise(home, "up")
        waiting, looked = dict(questions), {}
        while waiting:
            if time.monotonic() - begun > 60:
                raise TimeoutError(f"not healthy after a minute: {', '.join(waiting)}")
            for name, question in list(waiting.items()):
                look = time.monotonic()
                if _healthy(imctl, question):
                    del waiting[name]
                    gaps.append(time.monotonic() - looked.get(name, begun))
                else:
                    looked[name] = look
            if waiting:
                time.sleep(PAUSE_SECONDS)
        taken.append(time.monotonic() - begun)
    return statistics.median(taken), max(taken), max(gaps)
