"""Doors of single commands: what answers are held to, searches, tables, parts, scripts, results."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.adversarial.harness import Zygote
from tests.adversarial.hostile import (
    SCALARS,
    TEMPLATES,
    TEXTS,
    Places,
    as_json,
    spoiled,
    spoiled_value,
)
from tests.adversarial.inputs import FAST, Try
from tests.adversarial.seeds import (
    CARD,
    CONFIG,
    CSV,
    FIELDS,
    GBNF,
    JAVASCRIPT,
    JSONL,
    LABELS,
    LARK,
    MANY,
    PLAIN,
    PROFILE,
    PROMPT,
    SCHEMA,
    SCRIPTED,
    SCRIPTS,
    UNDER_WAY,
    WORDINGS,
)

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
_PATTERNS = (
    "^(a|a)*$", "(a+)+$", r"^\p{L}+$", "(?=x)y", r"(.)\1", "[", "a{99999}", "(?P<n>", ".*" * 50,
)  # fmt: skip


def constraints(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """Schemas and grammars that answers are to be held to."""
    del places
    file = zygote.work / "tried.schema"
    splices = (*TEXTS, *SCALARS, *_PATTERNS, '{"$ref": "#"}', '"x" | ', "%regex {", "%json {")
    while True:
        option, given = "--schema", str(file)
        kind = rng.randrange(5)
        if kind == 0:
            file.write_bytes(as_json(spoiled_value(rng, json.loads(SCHEMA)), indent=1))
        elif kind == 1:
            file.write_bytes(spoiled(rng, SCHEMA, splices))
        elif kind == 2:
            given = spoiled(rng, FIELDS, splices).decode("utf-8", "replace")
        else:
            option = "--grammar"
            file.write_bytes(spoiled(rng, rng.choice((LARK, GBNF)), splices))
        more = rng.choice(((), ("--complete-json",), ("--json-lines",), ("--strict-schema",)))
        command = ["ask", "Hi.", "-m", "tiny", option, given.replace("\0", ""), *more, *FAST]
        command[-1] = rng.choice(("4", "40"))
        yield Try(command, file=file)


def searches(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """What ``improve`` reads: a prompt, cases, wordings, other words for choices."""
    names = {"plain.prompty": PLAIN, "many.jsonl": MANY, "wordings.md": WORDINGS,
             "labels.yaml": LABELS, "final.jsonl": MANY}  # fmt: skip
    splices = (*TEXTS, *SCALARS, *TEMPLATES, "---", "# x", "assistant:", "{{ text }}", "[a, a]")
    while True:
        for name, text in names.items():
            (zygote.work / name).write_text(text)
        tried = rng.choice(list(names))
        (zygote.work / tried).write_bytes(spoiled(rng, names[tried], splices))
        options = {
            "--cases": "many.jsonl", "--wordings": "wordings.md", "--labels": "labels.yaml",
            "--final": "final.jsonl", "--nearest-by": "tiny", "--rewrite-with": "tiny",
        }  # fmt: skip
        command = ["improve", "plain.prompty", "-m", "tiny", "--threads", "1", "-q"]
        for option, value in options.items():
            if option == "--cases" or value == tried or rng.random() < 0.2:
                command += [option, value if rng.random() < 0.95 else places.any(rng)]
        command += ["--max-evaluations", "60", "-o", f"made-{rng.randrange(10**9)}.prompty"]
        yield Try(command, long=True, file=zygote.work / tried)


def trainings(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """Examples that a model is to be tuned on."""
    del places
    rows = MANY.splitlines()[:8]
    usual = "".join(f"{row}\n" for row in rows)
    splices = (*TEXTS, *SCALARS, *TEMPLATES, '{"a":1,"a":2}', '"\\ud800"', "[[" * 300)
    while True:
        (zygote.work / "plain.prompty").write_text(PLAIN)
        file = zygote.work / rng.choice(("train.jsonl", "plain.prompty"))
        (zygote.work / "train.jsonl").write_text(usual)
        file.write_bytes(spoiled(rng, PLAIN if file.suffix == ".prompty" else usual, splices))
        command = [
            "finetune",
            "measure",
            "tiny",
            "--train",
            "train.jsonl",
            "--prompt",
            "plain.prompty",
        ]
        command += ["--epochs", "1", "--as", "tuned", "--again", "--threads", "1"]
        command += rng.choice(((), ("--holdout", "0.3"), ("--loss", "all"), ("--limit", "2")))
        yield Try(command, long=True, file=file)


def tables(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """Rows for ``run --each``, and csv files that were there before."""
    rows = {".csv": CSV, ".jsonl": JSONL, ".yaml": "- {text: red}\n- {text: blue, id: 7}\n"}
    splices = (*TEXTS, *SCALARS, '"', '""', '"\n', "\r", "\u2028", "\x0c", '"\\ud800"')
    out = zygote.work / "answers.csv"
    while True:
        suffix = rng.choice(list(rows))
        file = zygote.work / f"tried{suffix}"
        file.write_text(rows[suffix])
        out.unlink(missing_ok=True)
        if rng.random() < 0.3:
            zygote.run("run", "say", "--each", str(file), "--to", str(out), "-m", "tiny", *FAST)
            there = out.read_bytes() if out.is_file() else b""
            out.write_bytes(_cut_or_spoiled(rng, there, splices))
        else:
            file.write_bytes(spoiled(rng, rows[suffix], splices))
        each = str(file) if rng.random() < 0.9 else places.any(rng, ("/dev/stdin",))
        to = rng.choice((["--to", str(out)], ["--to", places.any(rng)], []))
        stdin = rng.choice(("", rows[suffix]))
        yield Try(["run", "say", "--each", each, *to, "-m", "tiny", *FAST], stdin, file=file)


def _cut_or_spoiled(rng: random.Random, data: bytes, splices: tuple[str, ...]) -> bytes:
    if rng.random() < 0.5:
        return data[: rng.randrange(len(data) + 1)]
    return spoiled(rng, data.decode("utf-8", "replace"), splices)


def parts(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """Parts of an evaluation, changed and given the digest that they should have."""
    suite = zygote.work / "many.yaml"
    suite.write_text("prompts: ['Say {{ x }}.']\ntests: file://many.csv\n")
    rows = "".join(f"{n},icontains:a\n" for n in range(20))
    (zygote.work / "many.csv").write_text(f"x,__expected\n{rows}")
    for number in (1, 2):
        command = ["eval", str(suite), "-m", "tiny", "--shard", f"{number}/2", "-q", *FAST]
        zygote.run(*command, "-o", str(zygote.work / f"part{number}.jsonl"))
    lines = (zygote.work / "part1.jsonl").read_bytes().splitlines(keepends=True)
    file = zygote.work / "tried.jsonl"
    given = ["runs", "merge", str(file), str(zygote.work / "part2.jsonl")]
    look = (
        ["runs", "show", "last"], ["report", "last", "-o", str(zygote.work / "r.html")],
        ["runs", "show", "last", "--failures"], ["compare", "last"], ["runs", "list"],
    )  # fmt: skip
    more = ((), ("-f", "json"), ("-f", "csv"), ("--no-log",))
    while True:
        if rng.random() < 0.3:
            file.write_bytes(spoiled(rng, b"".join(lines).decode(), (*TEXTS, *SCALARS)))
        else:
            file.write_bytes(_repacked(rng, lines))
        yield Try([*given, *rng.choice(more)], file=file)
        yield Try(rng.choice(look), file=file)


def _repacked(rng: random.Random, lines: list[bytes]) -> bytes:
    """A part with something wrong in one record, whose end says that nothing is."""
    changed = list(lines)
    at = rng.randrange(len(changed) - 1)
    changed[at] = as_json(spoiled_value(rng, json.loads(changed[at]))) + b"\n"
    body = changed[1:-1]
    digest = hashlib.sha256(b"".join(body)).hexdigest()
    changed[-1] = as_json({"results": len(body), "sha256": digest}) + b"\n"
    return b"".join(changed)


def scripts(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """Suites with JavaScript in all its places."""
    del places
    folder = zygote.work / "scripted"
    folder.mkdir(exist_ok=True)
    texts = {"suite.yaml": SCRIPTED, **SCRIPTS}
    while True:
        for name, text in texts.items():
            (folder / name).write_text(text)
        tried = rng.choice(list(texts))
        file = folder / tried
        file.write_bytes(spoiled(rng, texts[tried], (*JAVASCRIPT, *JAVASCRIPT, *SCALARS, *TEXTS)))
        command = ["eval", "scripted/suite.yaml", "-m", "tiny", "--limit", "2", *FAST]
        command += rng.choice(((), ("--plan",), *[("--allow-code",)] * 4))
        # A script may take 3 s each time that it is asked.
        yield Try(command, file=file, long=True)


def results(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """Findings of another machine, as pages are made of them."""
    del places
    file = zygote.work / "tried.json"
    kinds = {"evidence": "2026-11-26-evidence.json", "contrast": "2026-11-26-contrast.json"}
    sound = {name: json.loads((RESULTS / file).read_bytes()) for name, file in kinds.items()}
    while True:
        command = rng.choice(list(kinds))
        data = as_json(spoiled_value(rng, sound[command]))
        if rng.random() < 0.1:
            data = data.replace(b'"', rng.choice((b"\xff", b"", b'\\"')), rng.randrange(1, 9))
        file.write_bytes(data)
        page = str(zygote.work / "page.html")
        lang = rng.choice(((), ("--lang", "pt-BR")))
        yield Try([command, "--from", str(file), "-o", page, *lang], file=file)


def homes(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """Files of the home, and of a folder that somebody sent, which are not what they should be."""
    _fill(zygote)
    kept = zygote.folder / "kept"
    shutil.copytree(zygote.home, kept, dirs_exist_ok=True)
    there = [path for path in sorted(kept.rglob("*")) if path.is_file()]
    names = [
        path.relative_to(kept)
        for path in there
        if path.suffix != ".gguf" and "history.db" not in path.name
    ]
    ours = [zygote.work / "models" / "sent.toml", zygote.work / "prompts" / "sent.prompty"]
    commands = (
        ["models", "list"], ["models", "show", "tiny"], ["models", "verify", "tiny"],
        ["prompts", "list"], ["prompts", "lint"], ["config", "show"], ["config", "unset", "model"],
        ["config", "set", "threads", "1"], ["runs", "list"], ["runs", "prune", "--cache"],
        ["finetune", "estimate", "tiny"], ["ask", "Hello.", "-m", "tiny", *FAST],
        ["ask", "Hi.", "--schema", "a int", "-m", "tiny", *FAST], ["models", "show", "sent"],
        ["run", "sent", "-p", "text=x", "-m", "tiny", *FAST], ["chat", "-m", "tiny", *FAST],
        ["models", "remove", "tiny-q4_0"], ["runs", "stats"], ["bench", "--plan-only", "say"],
    )  # fmt: skip
    while True:
        mine = rng.random() < 0.7
        file = zygote.home / rng.choice(names) if mine else rng.choice(ours)
        sound = (kept / file.relative_to(zygote.home)).read_bytes() if mine else b""
        seed = sound or (CARD if file.suffix == ".toml" else PROMPT).encode()
        _replace(rng, file, seed, places, sent=not mine)
        command = list(rng.choice(commands))
        yield Try(command, stdin="Hello.\n" if "chat" in command else "", file=file)
        _remove(file)
        if mine:
            file.write_bytes(sound)


def _fill(zygote: Zygote) -> None:
    """A home that was used."""
    (zygote.home / "config.toml").write_text(CONFIG)
    for folder, name, text in (
        ("profiles", "fast.json", PROFILE),
        ("running", "eval-1-0.json", UNDER_WAY),
    ):
        (zygote.home / folder).mkdir(exist_ok=True)
        (zygote.home / folder / name).write_text(text)
    (zygote.work / "models").mkdir(exist_ok=True)
    for command in (
        ["ask", "Hi.", "--schema", "a int", "-m", "tiny", *FAST],
        ["models", "quantize", "tiny", "--to", "q4_0"],
        ["run", "say", "-p", "text=red", "-m", "tiny", *FAST],
        ["finetune", "estimate", "tiny"],
    ):
        zygote.run(*command)


def _replace(rng: random.Random, file: Path, seed: bytes, places: Places, *, sent: bool) -> None:
    """Put something else there; pipes and devices only among what somebody sent."""
    _remove(file)
    kind = rng.randrange(0 if sent else 2, 9)
    others: dict[int, Callable[[], Any]] = {
        0: lambda: file.symlink_to("/dev/zero"),
        1: lambda: file.symlink_to(places.pipe),
        2: lambda: file.symlink_to(rng.choice((places.looping, places.dangling))),
        5: file.mkdir,
        3: lambda: file.write_bytes(seed[: rng.randrange(len(seed) + 1)]),
        4: lambda: file.write_bytes(_turned(rng, seed)),
    }
    usual: Callable[[], Any] = lambda: file.write_bytes(  # noqa: E731
        spoiled(rng, seed.decode("utf-8", "replace"), (*TEXTS, *SCALARS, *TEMPLATES))
    )
    others.get(kind, usual)()


def _turned(rng: random.Random, data: bytes) -> bytes:
    broken = bytearray(data or b"x")
    for _ in range(rng.choice((1, 8))):
        broken[rng.randrange(len(broken))] = rng.randrange(256)
    return bytes(broken)


def _remove(file: Path) -> None:
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
