# SPDX-License-Identifier: Apache-2.0
"""The modules' law: core includes nothing of ours; feed and sink include core, and never each other. And where vendor
headers may appear: in sources, never in headers, and each in few files."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
ALLOWED = {"core": {"core"}, "feed": {"core", "feed"}, "sink": {"core", "sink"}}
MODULES = set(ALLOWED) | {"tools", "bench", "tests"}
VENDORS = {  # header prefix -> how many files of core, feed, sink and tools may include it
    "hiredis/": 4, "openssl/": 1, "simdjson": 2, "toml++": 1, "CLI/": 2, "spdlog/": 1, "zstd": 1, "zlib": 1,
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)

errors = []
users = {vendor: [] for vendor in VENDORS}
for module in ("core", "feed", "sink", "tools"):
    for path in sorted((ROOT / module).glob("*.[hc]*")):
        for kind, name in INCLUDE.findall(path.read_text()):
            first = name.split("/")[0]
            if kind == '"' and first in MODULES and module in ALLOWED and first not in ALLOWED[module]:
                errors.append(f"{path.relative_to(ROOT)} includes {name}: {module} may include {sorted(ALLOWED[module])}")
            for vendor in VENDORS:
                if kind == "<" and name.startswith(vendor):
                    users[vendor].append(path)
for vendor, paths in users.items():
    for path in paths:
        if path.suffix == ".h":
            errors.append(f"{path.relative_to(ROOT)}: <{vendor}…> belongs in a source file")
    if len(set(paths)) > VENDORS[vendor]:
        errors.append(f"<{vendor}…> is included by {len(set(paths))} files, {VENDORS[vendor]} were meant: "
                      + ", ".join(sorted({str(p.relative_to(ROOT)) for p in paths})))
print("\n".join(errors) or "includes are as they should be")
sys.exit(1 if errors else 0)
