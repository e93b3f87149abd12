#!/usr/bin/env python3
"""What IM is made of, as a CycloneDX document: each Debian package that a program in BIN_FOLDER is linked with,
those that deploy/packages names to build, run and test it, and what lies in third_party; with versions and
licences as dpkg and the packages' copyright files on this machine say them.

Usage: sbom.py SOURCES BIN_FOLDER     prints the document
"""
import datetime
import functools
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import uuid

# Debian's short names, as far as SPDX calls them otherwise or needs them exact.
SPDX = {
    "apache-2.0": "Apache-2.0", "apache-2": "Apache-2.0", "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause", "bsd-3": "BSD-3-Clause", "expat": "MIT", "mit": "MIT", "isc": "ISC",
    "zlib": "Zlib", "postgresql": "PostgreSQL", "gpl-2": "GPL-2.0-only", "gpl-2.0": "GPL-2.0-only",
    "gpl-2+": "GPL-2.0-or-later", "gpl-2.0+": "GPL-2.0-or-later", "gpl-3": "GPL-3.0-only",
    "gpl-3+": "GPL-3.0-or-later", "gpl-3.0+": "GPL-3.0-or-later", "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-2.1+": "LGPL-2.1-or-later", "lgpl-3": "LGPL-3.0-only", "lgpl-3+": "LGPL-3.0-or-later",
    "mpl-2.0": "MPL-2.0", "openssl": "OpenSSL", "artistic-2.0": "Artistic-2.0", "curl": "curl",
    "bsd-3-clause~google": "BSD-3-Clause", "bsd-3-google": "BSD-3-Clause", "bsd-c3": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause", "agpl-3": "AGPL-3.0-only", "openldap-2.8": "OLDAP-2.8", "gpl-1+": "GPL-1.0-or-later",
    "apache-2-llvm-exceptions": "Apache-2.0 WITH LLVM-exception",
}
# By source package: read by a person, for their copyright files are prose that lists many.
READ = {
    "c-ares": "MIT", "e2fsprogs": "MIT", "krb5": "MIT", "keyutils": "LGPL-2.0-or-later",
    "llvm-defaults": "Apache-2.0 WITH LLVM-exception", "python3-defaults": "PSF-2.0",
}
# The formats of googleapis and grpc-proto.
THIRD_PARTY = {"google": "Apache-2.0", "grpc": "Apache-2.0"}
# What copyright files without a form of their own say, the most telling first.
TELLING = [
    (r"GCC Runtime Library Exception", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    (r"GNU Lesser General Public\s+License[^.]*version 2\.1", "LGPL-2.1-or-later"),
    (r"common-licenses/LGPL-2\.1", "LGPL-2.1-or-later"),
    (r"Apache License", "Apache-2.0"),
    (r"common-licenses/GPL-3", "GPL-3.0-or-later"),
    (r"common-licenses/GPL-2", "GPL-2.0-or-later"),
    (r"Permission is hereby granted, free of charge", "MIT"),
    (r"provided 'as-is', without any express or implied", "Zlib"),
]


def libraries_of(program):
    """The shared libraries of a program, as the loader finds them: path by name."""
    found = {}
    listing = subprocess.run(["ldd", program], check=True, text=True, capture_output=True).stdout
    for line in listing.splitlines():
        match = re.match(r"\s*(\S+) => (/\S+)", line) or re.match(r"\s*(/\S+)()", line)
        if match:
            path = match[2] or match[1]
            found[pathlib.Path(match[1]).name] = pathlib.Path(path)
    return found


@functools.lru_cache(maxsize=None)
def owners():
    """The installed package of each shared library; "/lib" is a link to "/usr/lib" that dpkg does not follow."""
    packages = {}
    for file in pathlib.Path("/var/lib/dpkg/info").glob("*.list"):
        for line in file.read_text(encoding="utf-8").splitlines():
            if ".so" in line:
                packages[re.sub("^/usr(?=/lib)", "", line)] = file.stem.split(":")[0]
    return packages


def package_of(path):
    for candidate in (str(path), str(path.resolve())):
        package = owners().get(re.sub("^/usr(?=/lib)", "", candidate))
        if package:
            return package
    raise SystemExit(f"sbom: {path} belongs to no Debian package")


@functools.lru_cache(maxsize=None)
def status_of(package):
    """Version, architecture, source and dependencies; None if it is not installed here."""
    form = "${db:Status-Status}\t${Version}\t${Architecture}\t${source:Package}\t${Depends}\t${Homepage}\n"
    answer = subprocess.run(["dpkg-query", "-W", "-f", form, package], text=True, capture_output=True)
    for line in answer.stdout.splitlines():
        status, version, architecture, source, depends, homepage = line.split("\t")
        if status == "installed":
            names = {re.split(r"[ (:|]", part.strip())[0] for part in re.split(r"[,|]", depends)}
            return {"version": version, "architecture": architecture, "source": source,
                    "depends": names - {""}, "homepage": homepage}
    return None


def spdx(name):
    """Debian's name of a licence, or of several with "or" and "and", as SPDX writes it; None if it is none."""
    parts = re.split(r",? (or|and) ", name)
    known = [part.upper() if part in ("or", "and") else SPDX.get(part.lower()) for part in parts]
    return " ".join(known) if all(known) else None


def entry(text):
    return [{"expression": text}] if " " in text else [{"license": {"id": text}}]


def licences_of(package, source):
    if source in READ:
        return entry(READ[source])
    path = pathlib.Path(f"/usr/share/doc/{package}/copyright")
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    if re.match(r"\s*Format(-Specification)?:", text):
        paragraphs = re.split(r"\n\s*\n", text)
        # Of all files, else of whatever comes first.
        paragraphs.sort(key=lambda paragraph: not re.search(r"^Files:\s*\*\s*$", paragraph, re.M))
        for paragraph in paragraphs:
            match = re.search(r"^License:[ \t]*(\S.*)$", paragraph, re.M)
            if match:
                name = match[1].strip()
                return entry(spdx(name)) if spdx(name) else [{"license": {"name": name}}]
    for pattern, licence in TELLING:
        if re.search(pattern, text):
            return entry(licence)
    return [{"license": {"name": f"see {path}"}}]


def listed(sources, name):
    for line in (sources / "deploy/packages" / f"{name}.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            yield line.split()[0]


def debian_component(package, kind, scope, properties):
    status = status_of(package)
    component = {
        "type": kind, "bom-ref": f"deb/{package}", "name": package, "version": status["version"], "scope": scope,
        "licenses": licences_of(package, status["source"]),
        "purl": f"pkg:deb/debian/{package}@{status['version'].replace('+', '%2B').replace(':', '%3A')}"
                f"?arch={status['architecture']}&distro=debian-12",
        "properties": [{"name": "im:source-package", "value": status["source"]}] + properties,
    }
    if re.match(r"https?://\S+$", status["homepage"]):
        component["externalReferences"] = [{"type": "website", "url": status["homepage"]}]
    return component


def third_party(sources):
    for path in sorted((sources / "third_party").rglob("*.proto")):
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        name = str(path.relative_to(sources))
        yield {"type": "file", "bom-ref": name, "name": name, "version": f"sha256:{digest[:16]}", "scope": "required",
               "hashes": [{"alg": "SHA-256", "content": digest}],
               "licenses": entry(THIRD_PARTY[path.relative_to(sources).parts[1]]),
               "properties": [{"name": "im:used-to", "value": "build"}]}


def other_tools(sources):
    """What tests take from other registries than Debian's."""
    buf = re.search(r"BUF_VERSION=(\S+)", (sources / "deploy/lib/checks.sh").read_text())[1]
    pins = re.findall(r"^([\w-]+)==(\S+)$", (sources / "examples/python/requirements.txt").read_text(), re.M)
    tools = [(f"pkg:npm/%40bufbuild/buf@{buf}", "@bufbuild/buf", buf, "Apache-2.0")]
    known = {"grpcio": "Apache-2.0", "grpcio-tools": "Apache-2.0", "protobuf": "BSD-3-Clause"}
    tools += [(f"pkg:pypi/{name}@{version}", name, version, known[name]) for name, version in pins]
    for purl, name, version, licence in tools:
        yield {"type": "application", "bom-ref": purl, "name": name, "version": version, "scope": "excluded",
               "licenses": [{"license": {"id": licence}}], "purl": purl,
               "properties": [{"name": "im:used-to", "value": "test"}]}


def document(sources, bin_folder):
    linked = {}  # package: names of libraries
    for program in sorted(bin_folder.iterdir()):
        for name, path in libraries_of(program).items():
            linked.setdefault(package_of(path), set()).add(name)
    components, missing = {}, []
    for package, names in sorted(linked.items()):
        components[package] = debian_component(
            package, "library", "required",
            [{"name": "im:used-to", "value": "run"}] + [{"name": "im:linked", "value": n} for n in sorted(names)])
    for use, scope in (("run", "required"), ("image", "required"), ("build", "excluded"), ("test", "excluded")):
        for package in listed(sources, use):
            if status_of(package) is None:
                missing.append(package)
            elif package not in components:
                # Headers become part of the programs.
                headers = package.endswith("-dev") and use == "build"
                components[package] = debian_component(
                    package, "library" if headers else "application", "required" if headers else scope,
                    [{"name": "im:used-to", "value": "run" if use == "image" else use}])
    version = re.search(r"project\(im VERSION (\S+)", (sources / "CMakeLists.txt").read_text())[1]
    parts = list(components.values()) + list(third_party(sources)) + list(other_tools(sources))
    dependencies = [{"ref": "im", "dependsOn": [part["bom-ref"] for part in parts if part["scope"] == "required"]}]
    for package in sorted(components):
        known = sorted(f"deb/{name}" for name in status_of(package)["depends"] & components.keys())
        dependencies.append({"ref": f"deb/{package}", "dependsOn": known})
    return missing, {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "metadata": {
            "timestamp": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "sbom.py", "version": version}]},
            "component": {"type": "application", "bom-ref": "im", "name": "im", "version": version},
        },
        "components": parts, "dependencies": dependencies,
    }


def main(sources, bin_folder):
    missing, bom = document(pathlib.Path(sources), pathlib.Path(bin_folder))
    json.dump(bom, sys.stdout, indent=2)
    print()
    if missing:
        print(f"not installed here, so left out: {' '.join(sorted(set(missing)))}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
