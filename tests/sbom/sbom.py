#!/usr/bin/env python3
"""The bill of materials is complete, makes sense, and fits CycloneDX's own schema; and what does not, is noticed.

Usage: sbom.py SOURCES BIN_FOLDER WORK_FOLDER     (needs python3-venv, and the registry of Python packages once)
"""
import copy
import json
import pathlib
import re
import subprocess
import sys

VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(sys.stdin.read())
sys.exit(f"schema: {error}"[:500] if error else 0)
"""


def environment(here, work):
    """A Python with the validator; what is there and current is kept."""
    wanted, have = here / "requirements.txt", work / "requirements.txt"
    if not have.exists() or have.read_text() != wanted.read_text():
        work.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", work / "venv"], check=True)
        subprocess.run([work / "venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted],
                       check=True)
        have.write_text(wanted.read_text())
    return work / "venv/bin/python"


def linked_libraries(bin_folder):
    names = set()
    for program in sorted(bin_folder.iterdir()):
        answer = subprocess.run(["ldd", program], text=True, capture_output=True)
        for line in answer.stdout.splitlines():
            match = re.match(r"\s*(?:(\S+) => )?(/\S+) \(", line)
            if match:
                names.add(pathlib.Path(match[1] or match[2]).name)
    return names


def listed_packages(sources):
    for file in sorted((sources / "deploy/packages").glob("*.txt")):
        for line in file.read_text().splitlines():
            if line and not line.startswith("#"):
                yield line.split()[0]


def is_installed(package):
    answer = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], text=True,
                            capture_output=True)
    return answer.stdout == "installed"


def complaints(bom, libraries, packages, python):
    found = []
    if bom.get("bomFormat") != "CycloneDX" or bom.get("metadata", {}).get("component", {}).get("name") != "im":
        found.append("it is not CycloneDX of im")
    components = bom.get("components", [])
    for component in components:
        if not all(component.get(key) for key in ("name", "version", "licenses", "bom-ref")):
            found.append(f"incomplete: {component.get('name')}")
    names = {component["name"] for component in components if "name" in component}
    linked = {p["value"] for c in components for p in c.get("properties", []) if p["name"] == "im:linked"}
    found += [f"linked, and not in it: {name}" for name in sorted(libraries - linked)]
    found += [f"listed, and not in it: {name}" for name in sorted(packages - names)]
    refs = [component.get("bom-ref") for component in components] + ["im"]
    if len(refs) != len(set(refs)):
        found.append("a bom-ref is given twice")
    for entry in bom.get("dependencies", []):
        found += [f"depends on nothing we know: {ref}" for ref in entry["dependsOn"] if ref not in refs]
    answer = subprocess.run([python, "-c", VALIDATE], input=json.dumps(bom), text=True, capture_output=True)
    if answer.returncode != 0:
        found.append(answer.stderr.strip())
    return found


def damaged(bom):
    """What must be noticed, and a document with it."""
    def without(change):
        other = copy.deepcopy(bom)
        change(other)
        return other
    library = next(i for i, c in enumerate(bom["components"]) if c["name"].startswith("libsodium2"))
    yield "a library is missing", without(lambda b: b["components"].pop(library))
    yield "a version is missing", without(lambda b: b["components"][library].pop("version"))
    yield "a licence is missing", without(lambda b: b["components"][library].pop("licenses"))
    yield "a licence is none", without(lambda b: b["components"][library].update(
        licenses=[{"license": {"id": "Nonsense-1.0"}}]))
    yield "a component is there twice", without(lambda b: b["components"].append(b["components"][library]))
    yield "a field is nobody's", without(lambda b: b.update(nonsense=1))
    yield "a type is none", without(lambda b: b["components"][library].update(type="thing"))


def main(sources, bin_folder, work):
    sources, bin_folder = pathlib.Path(sources), pathlib.Path(bin_folder)
    python = environment(pathlib.Path(__file__).resolve().parent, pathlib.Path(work))
    made = subprocess.run([sys.executable, sources / "deploy/lib/sbom.py", sources, bin_folder], check=True, text=True,
                          capture_output=True)
    bom = json.loads(made.stdout)
    libraries = linked_libraries(bin_folder)
    packages = {name for name in listed_packages(sources) if is_installed(name)}
    assert len(libraries) > 20 and len(packages) > 15, "the test found nothing to look for"
    failures = complaints(bom, libraries, packages, python)
    for what, document in damaged(bom):
        if not complaints(document, libraries, packages, python):
            failures.append(f"not noticed: {what}")
    print("\n".join(failures) or f"{len(bom['components'])} components, {len(libraries)} linked libraries: all there")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
