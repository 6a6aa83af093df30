"""The gateway under load, beside LiteLLM, nginx and the least that a proxy is: `python benches/gateway/run.py --help`.

The method is that of `rounds`. Every stream that arrives is compared with what must arrive of it, in every round; where
anything is lost, changed or out of order, there are no figures.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))

import instructions
import loads
import proxies
import tables
from proxies import Peer, Proxy, running
from rounds import Bench, Load, Lost, Turns, rounds, warmed


def contenders(litellm: Path | None, quick: bool) -> list[Proxy]:
    if quick:
        return [proxies.DIRECT, proxies.PLAIN, proxies.REWRITES]
    chosen = [proxies.DIRECT, proxies.PLAIN, proxies.AGAIN, proxies.REWRITES, proxies.NO_DIALECT, proxies.BARE]
    chosen += [proxies.NGINX] * proxies.has_nginx()
    return chosen + ([proxies.litellm(litellm)] if litellm else [])


def measured(bench: Bench, chosen: Sequence[Proxy], how_often: dict[Load, int]) -> tables.Figures:
    """All turns, printed as they come."""
    figures = {}
    with tempfile.TemporaryDirectory() as directory, running(chosen, bench.port, Path(directory)) as up:
        warmed(bench, up)
        for load, count in how_often.items():
            those = [each for each in up if each.process or load.name == loads.MODEST.name]
            figures[load] = rounds(bench, those, load, count)
            print(*tables.lines(load, figures[load]), sep="\n", flush=True)
    return figures


def counted(bench: Bench) -> tables.Counts:
    """The instructions of a chunk, printed as they come."""
    found: tables.Counts = {}
    for load in loads.COUNTED:
        found[load] = {each.name: instructions.of_a_chunk(bench, each, load) for each in tables.COUNTED}
        print(tables.instructions(load, found[load]), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the gateway alone, short: shows that nothing is lost")
    parser.add_argument("--only", default="", metavar="LOAD", help="the load of this name")
    parser.add_argument("--rounds", type=float, default=1.0, metavar="FACTOR", help="so many times as many rounds")
    parser.add_argument("--litellm", type=Path, default=proxies.LITELLM, metavar="FILE", help="its program")
    parser.add_argument("--write", action="store_true", help="bring README.md up to date")
    given = parser.parse_args()
    litellm = given.litellm.absolute() if given.litellm.exists() else None
    is_here = litellm is not None and proxies.has_nginx() and instructions.is_here()
    is_whole = not given.quick and not given.only and is_here
    if given.write and not is_whole:
        parser.error(f"--write takes all loads and all proxies, so nginx, valgrind and {given.litellm} must be there")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and with it all that it has started
    chosen = (loads.QUICK if given.quick else loads.ROUNDS).items()
    how_often = {load: max(1, round(count * given.rounds)) for load, count in chosen if given.only in load.name}
    try:
        with Peer("upstream.py") as upstream, Peer("client.py") as client:
            bench = Bench(upstream, client)
            figures = measured(bench, contenders(litellm, given.quick), how_often)
            parts: Turns = {}
            counts: tables.Counts = {}
            if not given.quick and not given.only:
                parts = measured(bench, proxies.PARTS, {loads.BUSY: how_often[loads.BUSY]})[loads.BUSY]
                counts = counted(bench) if instructions.is_here() else {}
    except Lost as lost:
        sys.exit(f"lost: {lost}")
    if is_whole:
        lines = tables.markdown(figures, parts, counts)
        print("", *lines, sep="\n")
        if given.write:
            tables.write(lines)


if __name__ == "__main__":
    main()
