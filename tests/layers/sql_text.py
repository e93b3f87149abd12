#!/usr/bin/env python3
"""Holds the tree to "SQL only by parameters".

Usage: sql_text.py ROOT. What is run must be a constant of the file or a literal, so that nothing a person
sent can be part of a statement: pg::Sql lets nothing else through where services talk to the database;
this looks at the few places that use libpqxx itself, and at the migrations. Prints what breaks the rule;
exit status 1 if something does.
"""
import pathlib
import re
import sys

TOPS = ("common", "services", "gateway", "client", "imctl", "bench", "tools")

CALL = re.compile(r"(?:\.|->)(exec\w*|prepare|stream_from|stream_to)\(\s*([^;]*)")
CONSTANT = re.compile(r"k[A-Z]\w*")
# A text that pg::Sql has let through.
CHECKED = re.compile(r"(?:sql|rule)\.text\(\)")
LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*')
# Files of the repository, built into im-migrate.
EMBEDDED = {"common/pg/migrate.cc": ("migration.sql", "grants.sql", "restored.sql")}
# Where pg::Session prepares what pg::Sql has let through.
SESSION = {("common/pg/pool.h", "exec_prepared"), ("common/pg/pool.cc", "prepare")}
# Services talk to the database through pg::Session only.
OWN_SESSION = re.compile(r"pqxx::(?:connection|work|nontransaction|read_transaction|transaction<|dbtransaction)")
DYNAMIC = re.compile(r"\bEXECUTE\b(?!\s+(?:ON|FUNCTION|PROCEDURE)\b)", re.I)


def first_argument(text):
    depth = 0
    quoted = False
    for i, char in enumerate(text):
        if char == '"' and (i == 0 or text[i - 1] != "\\"):
            quoted = not quoted
        if quoted:
            continue
        if char in "([{":
            depth += 1
        elif char in ")]}":
            if depth == 0:
                return text[:i].strip()
            depth -= 1
        elif char == "," and depth == 0:
            return text[:i].strip()
    return text.strip()


def wrong_in_source(path, text):
    for call, rest in CALL.findall(text):
        if (path, call) in SESSION:
            continue
        argument = first_argument(rest)
        if CONSTANT.fullmatch(argument):
            if not re.search(r"constexpr char " + argument + r"\[\]\s*=", text):
                yield f"{call}({argument}): no constexpr char array of this file"
        elif argument not in EMBEDDED.get(path, ()) and not CHECKED.fullmatch(argument) \
                and not LITERAL.fullmatch(argument):
            yield f"{call}({argument}): not a constant"
    if path.startswith("services/") and OWN_SESSION.search(text):
        yield f"{OWN_SESSION.search(text).group()}: services use pg::Session"


def wrong_in_migration(text):
    text = re.sub(r"--.*", "", text)
    for match in DYNAMIC.finditer(text):
        yield f"{text[match.start():match.start() + 40]!r}: a statement that is put together"


def self_test():
    """What must be found, or the rule holds nothing."""
    bad = ('t.exec("SELECT " + name);', "t.exec(absl::StrCat(kGet, id));", "t.exec_params(sql, 1);",
           "t.exec(kGet);", "c->prepare(name, text);", "t.exec1(Query(id));", 't.exec("SELECT $1" + x, 1);')
    good = ('t.exec("SELECT 1");', 'constexpr char kGet[] = "x"; t.exec_params(kGet, a + b);',
            't.exec_params("SELECT $1", f(a, "b"));', "transaction->exec_params(rule.text(), after, end)")
    failed = [text for text in bad if not list(wrong_in_source("bench/x.cc", text))]
    failed += [text for text in good if list(wrong_in_source("bench/x.cc", text))]
    failed += [text for text in ("pqxx::work t(c);",) if not list(wrong_in_source("services/chat/pg_x.cc", text))]
    failed += [text for text in ("EXECUTE format('DROP %I', x);", "EXECUTE 'x' || y;")
               if not list(wrong_in_migration(text))]
    failed += [text for text in ("GRANT EXECUTE ON FUNCTION f TO g;", "-- EXECUTE x")
               if list(wrong_in_migration(text))]
    for text in failed:
        print(f"self test: misjudged: {text}")
    return failed


def main(root):
    root = pathlib.Path(root)
    found = files = 0
    for top in TOPS:
        for path in sorted((root / top).rglob("*")):
            relative = str(path.relative_to(root))
            if path.suffix in (".h", ".cc"):
                wrong = wrong_in_source(relative, path.read_text(encoding="utf-8"))
            elif path.suffix == ".sql":
                wrong = wrong_in_migration(path.read_text(encoding="utf-8"))
            else:
                continue
            files += 1
            for what in wrong:
                found += 1
                print(f"{relative}: {what}")
    print(f"{files} files, {found} statements that are put together")
    return 1 if found or files == 0 or self_test() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
