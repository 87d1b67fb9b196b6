"""The long form of the fault tests: `make soak`, or `python -m tests.faults.soak --kills 100
--mutations 10000`.

Kills real commands at random moments, starts them again until they end, and compares their files
with those of a run that nobody disturbed. Feeds every reader with files that were truncated,
overwritten or had bits flipped. Prints what it did and leaves with 1 when anything was lost, hung,
too large, or ended in a traceback.
"""

import argparse
import json
import multiprocessing
import multiprocessing.connection
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py

from prune_kit.errors import PruneKitError

RUN = [sys.executable, "-c", "from prune_kit_cli.main import run; run()"]
SMALL = ["--train", "model=mlp", "--train", "epochs=6", "--jobs", "2", "--quiet"]
COMMANDS = {
    "score": ["score", "--method", "el2n,cumulative_pl", "--epoch", "6", "--runs", "4", *SMALL],
    "cscore": ["score", "--method", "cscore", "--folds", "10", "--ratios", "30,60,90", *SMALL],
    "retrain": ["retrain", "--runs", "3", *SMALL],
    "sweep": [
        "sweep",
        "--by",
        "el2n@6",
        "--keep",
        "0.2,0.5",
        "--offset",
        "0,0.1",
        "--runs",
        "2",
        *SMALL,
    ],
}
PREPARE = (
    ["score", "--method", "el2n,cumulative_pl", "--epoch", "6", "--runs", "4", *SMALL],
    ["select", "--by", "el2n@6", "--keep", "0.3", "--quiet"],
)
DEATHS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
LONGEST, MOST_BYTES = 5.0, 2**30
LAST_WORDS = 60.0  # seconds in which a command and its workers have ended
VARYING = ("created", "seconds", "prune_kit_version")


def content(path: Path) -> dict[str, Any]:
    """All that an HDF5 file holds, by name, but for when it was made and how long that took."""
    found: dict[str, Any] = {}

    def note(name: str, item: h5py.Group | h5py.Dataset) -> None:
        for key, value in item.attrs.items():
            if key not in VARYING:
                found[f"{name}@{key}"] = str(value)
        if isinstance(item, h5py.Dataset) and name not in VARYING:
            found[name] = item[()].tobytes()

    with h5py.File(path) as file:
        note("", file)
        file.visititems(note)
    return found


def killed_until_done(words: list[str], folder: Path, chance: random.Random, longest: float) -> int:
    """Start a command again and again, each time killed at a random moment, until it ends.

    How often it was killed.
    """
    kills = 0
    while True:
        command = subprocess.Popen(
            [*RUN, *words, "--workdir", str(folder)], stderr=subprocess.PIPE, text=True
        )
        try:
            command.communicate(timeout=chance.uniform(0.3, longest))
        except subprocess.TimeoutExpired:
            command.send_signal(chance.choice(DEATHS))
            command.communicate(timeout=LAST_WORDS)  # of its workers, too
            kills += 1
            continue
        assert command.returncode == 0, f"{words[0]} ended with {command.returncode}"
        return kills


def kills(count: int, seed: int, say: Callable[[str], None]) -> list[str]:
    """Kill `count` times or a little more, each command its share; what went wrong, in words."""
    chance, wrong = random.Random(seed), list[str]()
    with tempfile.TemporaryDirectory() as scratch:
        base, whole = Path(scratch) / "base", Path(scratch) / "whole"
        for words in PREPARE:
            subprocess.run([*RUN, *words, "--workdir", str(base)], check=True)
        for name, words in COMMANDS.items():
            started = time.monotonic()
            _fresh(name, base, whole)
            subprocess.run([*RUN, *words, "--workdir", str(whole)], check=True)
            longest = time.monotonic() - started
            expected = {path.name: content(path) for path in whole.glob("*.h5")}
            done, rounds = 0, 0
            while done < -(-count // len(COMMANDS)):
                place = Path(scratch) / "killed"
                _fresh(name, base, place)
                done += killed_until_done(words, place, chance, longest)
                rounds += 1
                if {path.name: content(path) for path in place.glob("*.h5")} != expected:
                    wrong.append(f"{name}: the files differ from an undisturbed run's")
                left = [
                    path.name
                    for path in place.rglob("*")
                    if path.name.endswith(".tmp") or path.name == ".lock"
                ]
                if left:
                    wrong.append(f"{name}: left behind {left}")
                shutil.rmtree(place)
            say(f"{name}: killed {done} times in {rounds} rounds, {len(wrong)} faults so far")
            shutil.rmtree(whole)
    return wrong


def _fresh(command: str, base: Path, folder: Path) -> None:
    """A workdir in which the command has everything to do."""
    if "score" in command:
        folder.mkdir()
    else:
        shutil.copytree(base, folder)


def mutated(whole: bytes, chance: random.Random) -> bytes:
    """A file cut, with bits flipped, overwritten in part, or with a part that is there twice."""
    content, kind = bytearray(whole), chance.randrange(4)
    if not content:
        return b""
    place = chance.randrange(len(content))
    if kind == 0:
        return bytes(content[:place])
    if kind == 1:
        for _ in range(chance.choice((1, 1, 4, 32))):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    elif kind == 2:
        length = min(chance.choice((1, 8, 64, 512)), len(content) - place)
        fill = chance.choice((b"\0", b"\xff", None))
        content[place : place + length] = fill * length if fill else chance.randbytes(length)
    else:
        content[place:place] = content[place : place + chance.choice((1, 16, 256))]
    return bytes(content)


def _reading(connection: "multiprocessing.connection.Connection", folder: str) -> None:
    """A worker that reads the files it is told, and says what came of it."""
    from tests.faults.readers import READERS

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_BYTES, used + MOST_BYTES))
    while True:
        name, path = connection.recv()
        try:
            READERS[name].read(Path(folder) / path)
            connection.send("read")
        except PruneKitError:
            connection.send("refused")
        except BaseException:
            connection.send(traceback.format_exc())


def mutations(count: int, seed: int, say: Callable[[str], None]) -> list[str]:
    """Give `count` mutated files to the readers, in turn; what went wrong, in words."""
    from tests.faults.readers import READERS, write_all

    chance, wrong, told = random.Random(seed), [], Counter[str]()
    with tempfile.TemporaryDirectory() as scratch:
        originals = write_all(Path(scratch))
        worker: Any = None
        for number in range(count):
            name = list(READERS)[number % len(READERS)]
            whole = originals[name].read_bytes()
            if chance.random() < 0.5 and b"\nprune_kit blake2b " in whole:
                whole = whole[
                    : whole.rindex(b"\nprune_kit blake2b ")
                ]  # as another program would write it
            path = Path(scratch) / f"mutated{originals[name].suffix}"
            path.write_bytes(mutated(whole, chance))
            if worker is None:
                worker = _worker(scratch, originals)
            process, connection = worker
            connection.send((name, path.name))
            if not connection.poll(LONGEST):
                outcome = f"hung for {LONGEST:g} s"
            else:
                try:
                    outcome = connection.recv()
                except EOFError:
                    outcome = "killed the process"
            if outcome in ("read", "refused"):
                told[outcome] += 1
                continue
            wrong.append(f"{name}: {outcome} (mutation {number} of seed {seed})")
            process.kill()
            process.join()
            worker = None
        if worker:
            worker[0].kill()
            worker[0].join()
    say(f"{count:,} mutated files over {len(READERS)} readers: {dict(told)}, {len(wrong)} faults")
    return wrong


def _worker(scratch: str, originals: dict[str, Path]) -> Any:
    """A fresh process that reads; warm before the clock runs."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_reading, args=(theirs, scratch), daemon=True)
    process.start()
    theirs.close()
    for name, path in originals.items():  # what they import is no matter of the clock
        ours.send((name, path.name))
        answer = ours.recv()
        assert answer == "read", f"{name}: {answer}"
    return process, ours


def main() -> Iterator[str]:
    """Read the options, do both, and give the faults."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(json.dumps(vars(asked)), flush=True)

    def say(text: str) -> None:
        print(text, flush=True)

    yield from mutations(asked.mutations, asked.seed, say) if asked.mutations else []
    yield from kills(asked.kills, asked.seed, say) if asked.kills else []


if __name__ == "__main__":
    faults = list(main())
    print("\n".join(faults) or "nothing was lost")
    sys.exit(bool(faults))
