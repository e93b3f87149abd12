#!/usr/bin/env python3
"""docs/configuration.md, made from what the programs themselves print.

Usage: configuration.py BIN_FOLDER FILE          compares; exit status 1 if the file is out of date
       configuration.py BIN_FOLDER FILE --write  writes it
"""
import os
import pathlib
import subprocess
import sys

HEAD = """# Configuration

Every daemon takes a file (`--config FILE`), environment variables and flags, each weighing more than the one
before. The key `listen` in section `[server]` is `IM_SERVER_LISTEN` in the environment and `--server.listen`
on the command line. `--print-config` prints what is in force, `--help` the reference with the allowed values.

The file is a small part of TOML: sections, comments, and a key and its value a line, numbers bare and text in
quotes. Within double quotes `\\"`, `\\\\`, `\\n`, `\\r` and `\\t` are what they are in TOML; single quotes take text
as it is. Lists are one text, with commas in it. What is unknown, set twice or none of this is an error that names
the key or the line. An empty environment variable is none.

Below are the defaults, as `--print-config` prints them. This file is made by
`tests/docs/configuration.py BIN docs/configuration.md --write`; a test compares.
"""


def reference(bin_folder):
    text = HEAD
    environment = {k: v for k, v in os.environ.items() if not k.startswith("IM_")}
    for service in ("auth", "chat", "presence", "gateway"):
        run = subprocess.run([bin_folder / f"im-{service}", "--print-config"], check=True, text=True,
                             capture_output=True, env=environment)
        text += f"\n## im-{service}\n\n```toml\n{run.stdout.strip()}\n```\n"
    return text


def main(bin_folder, file, write=False):
    text = reference(pathlib.Path(bin_folder))
    path = pathlib.Path(file)
    if write:
        path.write_text(text, encoding="utf-8")
        return 0
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return 0
    print(f"{file} is out of date; run: {sys.argv[0]} {bin_folder} {file} --write")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], write=sys.argv[3:] == ["--write"]))
